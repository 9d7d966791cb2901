"""Peak memory of compressing and decoding ten times the data, each in a process of its own.

Shards are as large for the large data as for the small, which has eight of them, so that only the
number of samples differs.
The peak is that of resident memory, and counts whatever Python and its libraries take.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.ratios import Ratio, print_ratios, to_json
from bench.workloads import LATENT_DIM, make_workload, varied_digits
from engine.geometry import plan_grid

SAMPLES = {"no guarantee": 150_000, "max-error 8": 20_000}
RUNS = 3
TIMES = 10
_ROOT = Path(__file__).parents[1]
_OPTIONS = {"no guarantee": "", "max-error 8": "max_error=8"}
_TARGET, _AIM = 1.05, 1.0


def run(samples: Mapping[str, int] = SAMPLES, runs: int = RUNS) -> dict[str, Any]:
    """Measure the guarantees that `samples` names, with so many samples and with ten times them."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        make_workload("dense").codec.save(Path(folder, "dense.codec"))
        for guarantee, count in samples.items():
            found[guarantee] = _measure(guarantee, count, runs, Path(folder))
    ratios = [
        Ratio(f"{work}, {guarantee}: {TIMES} n / n", large / small, _TARGET, _AIM, at_most=True)
        for guarantee, measured in found.items()
        for work, (small, large) in measured["peak_mib"].items()
    ]
    print_ratios(ratios)
    return {"ratios": to_json(ratios), "measured": found}


def _measure(guarantee: str, count: int, runs: int, folder: Path) -> dict[str, Any]:
    data, store, out = folder / "samples.npy", folder / "store.zarr", folder / "decoded.npy"
    shard_samples = _shard_samples(guarantee, count)
    options = f"overwrite=True, device='cpu', shard_samples={shard_samples}, {_OPTIONS[guarantee]}"
    codec = str(folder / "dense.codec")
    statements = {
        "compress": f"engine.compress({str(data)!r}, {str(store)!r}, {codec!r}, {options})",
        "decode": f"engine.decode({str(store)!r}, {str(out)!r}, overwrite=True, device='cpu')",
    }
    peaks: dict[str, list[float]] = {work: [] for work in statements}
    for size in (count, count * TIMES):
        np.save(data, varied_digits(size))
        for work, statement in statements.items():
            peaks[work].append(_peak_mib(statement, runs))
    return {
        "peak_mib": peaks,
        "samples": [count, count * TIMES],
        "shard_samples": shard_samples,
        "runs": runs,
    }


def _shard_samples(guarantee: str, count: int) -> int:
    """What a job on the small data chooses."""
    sample = varied_digits(1)[0]
    guaranteed = bool(_OPTIONS[guarantee])
    return plan_grid(count, sample.nbytes, LATENT_DIM, guaranteed=guaranteed).shard_samples


def _peak_mib(statement: str, runs: int) -> float:
    """Median peak of resident memory of Python processes that only run the statement."""
    report = "from bench.machine import peak_memory_mib; print(peak_memory_mib())"
    program = f"import engine; {statement}; {report}"
    found = [
        subprocess.check_output([sys.executable, "-c", program], cwd=_ROOT, text=True)
        for _ in range(runs)
    ]
    return round(statistics.median(map(float, found)), 1)
