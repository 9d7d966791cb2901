"""Carries launchers out, in Triton's interpreter or on a GPU: arrays in, the same arrays out."""

import os
import subprocess
import sys

import numpy as np
import pytest


def interpret(folder, launches):
    """What `launch` returns for each `{name: (launcher, arguments)}` in Triton's interpreter.

    In a process of its own, because triton chooses the interpreter once, when it is imported.
    """
    pytest.importorskip("triton")
    pytest.importorskip("torch")
    arrays = {}
    for name, (launcher, arguments) in launches.items():
        arrays[f"{name}.launcher"] = np.array(launcher)
        given = {f"{name}.{i}": a for i, a in enumerate(arguments) if a is not None}
        arrays.update(given)
    np.savez(folder / "launches.npz", **arrays)
    subprocess.run(
        [sys.executable, __file__, folder / "launches.npz", folder / "results.npz"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        check=True,
    )
    with np.load(folder / "results.npz") as results:
        return {
            name: [results.get(f"{name}.{i}") for i in range(len(arguments))]
            for name, (_, arguments) in launches.items()
        }


def launch_on_gpu(launcher, arguments):
    """What `launch` returns on a GPU; skips the test where there is none."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("triton")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return launch("cuda", launcher, arguments)


def launch(device, launcher, arguments):
    """The arguments, arrays as they are after `launcher` ran: a name of `cuda_kernels`."""
    import torch

    from cuda_kernels.error_statistics import kernel as statistics
    from cuda_kernels.residuals import kernel as residuals

    launchers = [statistics.finish, statistics.error_statistics]
    launchers += [residuals.restore, residuals.quantise]
    moved = [
        torch.from_numpy(argument.copy()).to(device)
        if isinstance(argument, np.ndarray)
        else argument
        for argument in arguments
    ]
    {function.__name__: function for function in launchers}[launcher](*moved)
    return [value.cpu().numpy() if isinstance(value, torch.Tensor) else value for value in moved]


def main(launches_path, results_path):
    from triton.runtime.interpreter import InterpretedFunction

    from cuda_kernels.error_statistics.kernel import finish_kernel

    if not isinstance(finish_kernel, InterpretedFunction):
        sys.exit("TRITON_INTERPRET=1 was not set: this is not the interpreter")
    launches = {}
    with np.load(launches_path) as arrays:
        for key, array in arrays.items():
            name, _, position = key.rpartition(".")
            launches.setdefault(name, {})[position] = array
    results = {}
    for name, arguments in launches.items():
        launcher = str(arguments.pop("launcher"))
        positions = range(1 + max(map(int, arguments)))
        given = [arguments.get(str(position)) for position in positions]
        scalars = [
            array.item() if array is not None and array.ndim == 0 else array for array in given
        ]
        after = launch("cpu", launcher, scalars)
        results |= {f"{name}.{i}": a for i, a in enumerate(after) if a is not None}
    np.savez(results_path, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
