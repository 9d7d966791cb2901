"""Runs the Triton kernel in Triton's interpreter: CASES.npz in, RESULTS.npz out.

A process of its own, because triton chooses the interpreter once, when it is first imported.
"""

import sys

import numpy as np
import torch
from triton.runtime.interpreter import InterpretedFunction

from cuda_kernels.error_statistics.kernel import error_statistics, error_statistics_kernel


def main(cases_path: str, results_path: str) -> None:
    if not isinstance(error_statistics_kernel, InterpretedFunction):
        sys.exit("TRITON_INTERPRET=1 was not set: this is not the interpreter")
    results = {}
    with np.load(cases_path) as cases:
        for name in sorted({key.rpartition(".")[0] for key in cases}):
            samples = torch.from_numpy(cases[f"{name}.samples"])
            worst, total = torch.full((2, len(samples)), -1.0, dtype=torch.float64)
            reconstruction = torch.from_numpy(cases[f"{name}.reconstruction"])
            error_statistics(reconstruction, samples, worst, total)
            results[name] = np.stack([worst.numpy(), total.numpy()])
    np.savez(results_path, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
