"""Bulk decoding against the bare decoder, and against reading raw samples from Zarr.

The limit is `InferenceSession.run` of the decoder over ready latents in memory, at the batch size
and thread layout that are best for it. The system clears the memory of a new array when it is first
written to, and a hypervisor finds it anew, if it was given back for some seconds: so samples are
also read into an array that is there, and what filling a new one costs is measured, too.
`engine.decode` also syncs what it writes: what that alone costs is measured beside it. Peers and
files have rounds of their own, as they take and give back much memory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import engine
from bench.bare import bare_runs, bare_works, fastest_bare
from bench.ratios import Ratio, print_ratios, to_json
from bench.raw_zarr import ZSTD, open_tensorstore, write_raw_zarr
from bench.timing import Rounds, Work, interleave
from bench.workloads import make_workload, varied_digits
from engine.codec.files import DECODER

SAMPLES = {"dense": 400_000, "conv": 80_000}
ZARR_SAMPLES = 65_536
RUNS = 9

INTO = "store.read(out=array)"
ARRAY = "np.asarray(store)"
NEW = "fill a new array"
FILE = "engine.decode to .npy"
BARE = "bare decoder"
WRITE = "write and sync .npy"
TENSORSTORE = "tensorstore zstd-3"
_TARGETS = {"dense": (0.75, 0.90)}


def run(samples: Mapping[str, int] = SAMPLES, runs: int = RUNS) -> dict[str, Any]:
    """Measure the codecs that `samples` names, each on so many samples."""
    with tempfile.TemporaryDirectory() as folder:
        found = {name: _measure(name, count, runs, Path(folder)) for name, count in samples.items()}
    ratios = {name: measured.pop("ratios") for name, measured in found.items()}
    return {"ratios": ratios, "measured": found}


def _measure(name: str, count: int, runs: int, folder: Path) -> dict[str, Any]:
    workload, samples = make_workload(name), varied_digits(count)
    engine.compress(samples, folder / f"{name}.zarr", workload.codec, device="cpu")
    with engine.open(folder / f"{name}.zarr", "cpu") as store:
        latents = np.asarray(store.latents[:])
        bare = bare_runs([workload.codec.files.role(DECODER)], latents)
        limit = bare_works(BARE, bare, latents)
        room = np.zeros_like(samples)
        reading = {
            INTO: Work(lambda _: store.read(slice(None), out=room), count),
            ARRAY: Work(lambda _: np.asarray(store), count),
            NEW: Work(lambda _: np.empty_like(samples).fill(1), count),
        }
        peers = _zarr_works(samples[:ZARR_SAMPLES], folder, store.contents.part.chunk_samples)
        writing = {
            FILE: Work(
                lambda _: engine.decode(store, folder / "decoded.npy", overwrite=True), count
            ),
            WRITE: Work(lambda _: _write(samples, folder / "written.npy"), count),
        }
        read, layout = fastest_bare(BARE, interleave(limit | reading, runs))
        beside = interleave(reading | peers, runs)
        written, _ = fastest_bare(BARE, interleave(limit | writing, runs, settle=True))
    targets = _TARGETS.get(name, ())
    ratios = [
        *_ratios(INTO, read, targets),
        *_ratios(ARRAY, read, targets),
        *_ratios(ARRAY, beside),
        *_ratios(FILE, written, targets),
    ]
    print(f"\n{name}: {count} samples; {BARE}: {layout}")
    print_ratios(ratios)
    return {
        "ratios": to_json(ratios),
        "samples_per_s": {
            "reading": read.items_per_s(),
            "beside peers": beside.items_per_s(),
            "writing": written.items_per_s(),
        },
        "samples": count,
        "layout": layout,
        "runs": runs,
    }


def _zarr_works(samples: NDArray[Any], folder: Path, chunk_samples: int) -> dict[str, Work]:
    array = write_raw_zarr(folder / "raw.zarr", samples, chunk_samples)
    works = {ZSTD: Work(lambda _: array[:], len(samples))}
    if (tensors := open_tensorstore(folder / "raw.zarr")) is not None:
        works[TENSORSTORE] = Work(lambda _: tensors.read().result(), len(samples))
    return works


def _write(samples: NDArray[Any], path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, samples)
        file.flush()
        os.fsync(file.fileno())


def _ratios(
    work: str, rounds: Rounds, targets: tuple[float, float] | tuple[()] = ()
) -> list[Ratio]:
    """Speed of `work` beside all others; the targets are those of the limit."""
    return [
        Ratio(
            f"{work} / {other}",
            rounds.speed_ratio(work, other),
            *(targets if other == BARE else ()),
        )
        for other in rounds.seconds
        if other != work
    ]
