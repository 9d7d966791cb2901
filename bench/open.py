"""Opening a store, its first sample, many shards, and what a store adds to its latents.

Opened anew each time in a process that has done it before, from a warm page cache; opening makes no
session of onnxruntime. The store of many shards has small samples, one chunk a shard.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import engine
from bench.principal_components import pack_principal_components
from bench.ratios import Ratio, print_ratios, to_json
from bench.raw_zarr import folder_bytes
from bench.timing import Work, interleave
from bench.workloads import make_workload, varied_digits
from engine.store.contents import StoreContents
from engine.store.plan import LATENTS

SAMPLES = 1_000_000
SHARDS = 10_000
ROUNDS = 30
_SMALL_SHAPE = (4, 4)
_SHARD_SAMPLES = 8

OPEN = "open"
LEDGER = "open and read the ledger"
FIRST = "open and read one sample"
_OPEN_MS, _OVERHEAD_BYTES = (30, 5), (4, 2)


def run(samples: int = SAMPLES, shards: int = SHARDS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure a store of `samples` digits, and one of `shards` shards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        codec = make_workload("dense").codec
        engine.compress(varied_digits(samples), folder / "large.zarr", codec, device="cpu")
        _compress_small(shards, folder)
        overhead = _overhead_bytes(folder / "large.zarr") / samples
        times = {store: _times(folder / f"{store}.zarr", rounds) for store in ("large", "shards")}
        sizes = {store: _sizes(folder / f"{store}.zarr") for store in ("large", "shards")}
    named = {"large": f"{samples} samples", "shards": f"{shards} shards"}
    ratios = [
        Ratio("bytes a sample beside latents and codec", overhead, *_OVERHEAD_BYTES, True, "B"),
        *(
            Ratio(
                f"{work}, {named[store]}",
                ms,
                *(_OPEN_MS if work == OPEN else (None, None)),
                True,
                "ms",
            )
            for store, found in times.items()
            for work, ms in found.items()
        ),
    ]
    print_ratios(ratios)
    return {"ratios": to_json(ratios), "stores": sizes, "rounds": rounds}


def _compress_small(shards: int, folder: Path) -> None:
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (shards * _SHARD_SAMPLES, *_SMALL_SHAPE), np.uint8)
    codec = pack_principal_components(samples[:1000], 4, folder / "small.codec")
    engine.compress(
        samples,
        folder / "shards.zarr",
        codec,
        chunk_samples=_SHARD_SAMPLES,
        shard_samples=_SHARD_SAMPLES,
        threads=8,  # each of which mostly waits for the disk
        device="cpu",
    )


def _times(path: Path, rounds: int) -> dict[str, float]:
    """Milliseconds."""

    def first(_: int) -> NDArray[Any]:
        with engine.open(path, "cpu") as store:
            return store[len(store) // 2]

    works = {
        OPEN: Work(lambda _: engine.open(path, "cpu")),
        LEDGER: Work(lambda _: engine.open(path, "cpu").committed),
        FIRST: Work(first),
    }
    return interleave(works, rounds).medians(1e-3)


def _overhead_bytes(path: Path) -> int:
    """Bytes of everything but latents and the codec."""
    latents = path / StoreContents(path).part.path / LATENTS / "c"
    return folder_bytes(path) - folder_bytes(latents) - folder_bytes(path / "codecs")


def _sizes(path: Path) -> dict[str, int]:
    contents = StoreContents(path)
    part = path / contents.part.path
    return {
        "samples": contents.part.samples,
        "shards": len(contents.ledger),
        "files": sum(1 for file in path.rglob("*") if file.is_file()),
        "bytes": folder_bytes(path),
        **{f"{array.name}_bytes": folder_bytes(array) for array in sorted(part.iterdir())},
    }
