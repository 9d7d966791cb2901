"""Bulk compression against the bare networks, and against what users would do instead.

The limit is `InferenceSession.run` of encoder and decoder over ready batches in memory, at the
batch size and thread layout that are best for it. Compression reads the samples from a file,
screens and measures each of them, and writes a store that survives a kill. Torch scripts and
zarr-python sync nothing, and the coders write nothing; peers that are slow do fewer samples. Where
a script makes latents only, it is compression without quality that does the same work.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import engine
from bench.bare import bare_runs, bare_works, fastest_bare
from bench.bulk_peers import (
    MEASURING_SCRIPT,
    SCRIPT,
    coder_works,
    missing_peers,
    script_works,
    zarr_works,
)
from bench.ratios import Ratio, print_ratios, to_json
from bench.timing import Rounds, Work, interleave
from bench.workloads import Workload, make_workload, varied_digits
from engine.codec.files import DECODER, ENCODER
from engine.store.contents import StoreContents

SAMPLES = {"dense": 1_600_000, "conv": 200_000, "klt": 300_000}
SCRIPT_FRACTION = 8
ZARR_SAMPLES = 32_768
CODED_SAMPLES = 1024
RUNS = 5

COMPRESS = "compress"
LATENTS_ONLY = "compress without quality"
BARE = "bare encoder + decoder"
BARE_ENCODER = "bare encoder"
_BARE_TARGETS = {"dense": (0.70, 0.85), "conv": (0.90, 0.97), "klt": (0.90, 0.97)}
_ENCODER_TARGETS = {"dense": (0.60, 0.80)}
_SCRIPT_TARGETS = {"dense": (2, 4), "conv": (2, 4)}


def run(samples: Mapping[str, int] = SAMPLES, runs: int = RUNS) -> dict[str, Any]:
    """Measure the codecs that `samples` names, each on so many samples."""
    print("\n".join(missing_peers()))
    with tempfile.TemporaryDirectory() as folder:
        found = {
            name: _measure(make_workload(name), count, runs, Path(folder, name))
            for name, count in samples.items()
        }
    ratios = {name: measured.pop("ratios") for name, measured in found.items()}
    return {"ratios": ratios, "missing": missing_peers(), "measured": found}


def _measure(workload: Workload, count: int, runs: int, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    samples, data = varied_digits(count), folder / "samples.npy"
    np.save(data, samples)
    trial = engine.compress(samples[:CODED_SAMPLES], folder / "trial.zarr", workload.codec)
    chunk_samples = StoreContents(folder / "trial.zarr").part.chunk_samples
    files = workload.codec.files
    bare = bare_runs([files.role(ENCODER), files.role(DECODER)], samples)
    bare_encoder = bare_runs([files.role(ENCODER)], samples)
    zarr, zarr_sizes = zarr_works(samples[:ZARR_SAMPLES], chunk_samples, folder)
    coders, coder_sizes = coder_works(samples[:CODED_SAMPLES], chunk_samples, trial.psnr_db)

    def compress(turn: int, **options: Any) -> None:
        store = folder / f"{len(options)}-{turn}.zarr"
        engine.compress(data, store, workload.codec, device="cpu", **options)

    works = {
        **bare_works(BARE, bare, samples),
        **bare_works(BARE_ENCODER, bare_encoder, samples),
        COMPRESS: Work(compress, count),
        LATENTS_ONLY: Work(lambda turn: compress(turn, quality=False), count),
        **script_works(workload, samples[: -(-count // SCRIPT_FRACTION)], folder),
    }
    rounds, layout = fastest_bare(BARE, interleave(works | zarr | coders, runs, settle=True))
    rounds, encoder_layout = fastest_bare(BARE_ENCODER, rounds)
    ratios = _ratios(workload.name, rounds)
    print(f"\n{workload.name}: {count} samples; {BARE}: {layout}; {BARE_ENCODER}: {encoder_layout}")
    print_ratios(ratios)
    own = {"sample_bytes": trial.latent_bytes / trial.samples, "psnr_db": trial.psnr_db}
    return {
        "ratios": to_json(ratios),
        "samples_per_s": rounds.items_per_s(),
        "sizes": {"latents": own, **zarr_sizes, **coder_sizes},
        "samples": count,
        "chunk_samples": chunk_samples,
        "layouts": {BARE: layout, BARE_ENCODER: encoder_layout},
        "runs": runs,
    }


def _ratios(name: str, rounds: Rounds) -> list[Ratio]:
    """What there are targets for, then every peer beside compression with quality."""
    held: tuple[tuple[str, str, Mapping[str, tuple[float, float]]], ...] = (
        (COMPRESS, BARE, _BARE_TARGETS),
        (LATENTS_ONLY, BARE_ENCODER, _ENCODER_TARGETS),
        (LATENTS_ONLY, SCRIPT, _SCRIPT_TARGETS),
        (COMPRESS, MEASURING_SCRIPT, _SCRIPT_TARGETS),
        (COMPRESS, SCRIPT, {}),
    )
    ratios = [
        Ratio(f"{work} / {other}", rounds.speed_ratio(work, other), *targets.get(name, ()))
        for work, other, targets in held
    ]
    named = {BARE, BARE_ENCODER, COMPRESS, LATENTS_ONLY, SCRIPT, MEASURING_SCRIPT}
    others = [peer for peer in rounds.seconds if peer not in named]
    return ratios + [
        Ratio(f"{COMPRESS} / {peer}", rounds.speed_ratio(COMPRESS, peer)) for peer in others
    ]
