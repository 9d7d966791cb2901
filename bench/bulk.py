"""Bulk compression against the bare networks: samples per second, side by side in one run.

The limit is `InferenceSession.run` of encoder and decoder over ready batches in memory, of the
same size and on the same number of one-thread runs as `engine.compress` uses. Compression reads
the samples from a file, screens and measures each of them, and writes a store that survives a kill.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import engine
from bench.digits import load_digits
from engine.runtime.codec import batches
from engine.runtime.device import available_cores

SAMPLES = {"dense": 800_000, "conv": 80_000}
RUNS = 5


def run() -> dict[str, Any]:
    """Measure every codec; returns medians and ratios."""
    with tempfile.TemporaryDirectory() as folder:
        return {arch: _measure(arch, count, Path(folder)) for arch, count in SAMPLES.items()}


def _measure(arch: str, count: int, folder: Path) -> dict[str, Any]:
    digits, _ = load_digits()
    codec = engine.train(
        digits, folder / f"{arch}.codec", arch=arch, latent_dim=32, epochs=1, device="cpu"
    )
    samples = np.resize(digits, (count, *digits.shape[1:]))
    np.save(folder / "samples.npy", samples)
    bare = _bare_networks(codec, samples)
    store = folder / "store.zarr"

    def compress() -> None:
        engine.compress(folder / "samples.npy", store, codec, device="cpu")

    rates: dict[str, list[float]] = {"bare": [], "compress": []}
    for _ in range(RUNS + 1):
        for name, work in (("bare", bare), ("compress", compress)):
            began = time.perf_counter()
            work()
            rates[name].append(count / (time.perf_counter() - began))
        shutil.rmtree(store)
    rates = {name: values[1:] for name, values in rates.items()}  # the first run warms up
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = statistics.median(c / b for c, b in zip(rates["compress"], rates["bare"], strict=True))
    print(
        f"{arch}: compress / bare encoder + decoder = {ratio:.2f} "
        f"({medians['compress']:,.0f} / {medians['bare']:,.0f} samples/s, "
        f"{count} samples, batch {codec.batch_samples}, {available_cores()} threads)"
    )
    return {
        "ratio": round(ratio, 3),
        "samples_per_s": {name: round(value) for name, value in medians.items()},
        "samples": count,
        "batch": codec.batch_samples,
        "threads": available_cores(),
        "runs": RUNS,
    }


def _bare_networks(codec: engine.Codec, samples: np.ndarray) -> Callable[[], None]:
    """Both networks over ready batches, shared out to one-thread runs."""
    single = codec.on("cpu", threads=1)
    encoder, decoder = single.encoder, single.decoder
    step = np.ones(1, np.float32)
    cores = available_cores()

    def work(part: np.ndarray) -> None:
        for start, stop in batches(len(part), codec.batch_samples):
            decoder(encoder(part[start:stop], step), step)

    def run_all() -> None:
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(work, np.array_split(samples, cores)))

    return run_all
