"""Bytes a sample at a quality, beside KLT, WebP, SZ3, JPEG XL and FAISS, on five kinds of data.

Codecs learn from training samples; all is measured on others, in real stores without the errors of
samples, which peers don't keep either. A size is what one more sample takes, in chunks of 64; the
decoder and other fixed parts are apart, and shared by the data set's own samples in the total.
Peers' bytes are bare: the index that finds their chunks isn't counted. A benchmark that was cut off
goes on.
"""

from __future__ import annotations

import hashlib
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import engine
from bench.quality_data import LOADERS
from bench.ratios import Ratio, print_ratios, to_json
from bench.subject import Demand, Result, Subject, coarsest
from engine.comparing.families import FAMILIES
from engine.comparing.layouts import MOSAIC
from engine.comparing.method import Setting
from engine.comparing.peers.jpeg_xl import LosslessJpegXl
from engine.comparing.peers.quantised import Quantised
from engine.comparing.peers.sz3 import Sz3
from engine.comparing.peers.webp import WebP
from engine.comparing.split_samples import SplitSamples
from engine.errors import MissingExtra
from engine.runtime.user_cache import cache_folder

OURS, KLT = "transform", "klt"
COSINE = "cosine"  # the linear codec of vectors that are searched by their inner products
_FOR_IMAGES = (OURS, "conv-transform")
_MOSAIC_PATCHES = 16
_STORE_SAMPLES = 1_000_000  # sizes are those of stores in which a decoder pays
_ROOT = Path(__file__).parents[1]
_SPEED_SAMPLES, _SPEED_ROUNDS = 8192, 5


@dataclass(frozen=True)
class Cell:
    """One line of the table, and the points that it is made of, by what they are."""

    ratio: Ratio
    points: dict[str, Result]


def run(
    names: tuple[str, ...] = tuple(LOADERS),
    most_samples: int | None = None,
    epochs: int | None = None,
) -> dict[str, Any]:
    """Measure every cell; a data set whose package is missing is left out.

    `most_samples` and `epochs` try the benchmark itself.
    """
    folder = _folder(most_samples, epochs)
    cells: list[Cell] = []
    left_out = {}
    for name in names:
        began = time.perf_counter()
        try:
            data = _thinned(LOADERS[name](), most_samples)
        except (MissingExtra, ModuleNotFoundError) as error:
            left_out[name] = str(error)
            print(f"{name} is left out: {error}")
            continue
        subject = Subject(name, data, folder, most_samples or _STORE_SAMPLES, epochs)
        for cell in CELLS[name](subject):
            print(f"  {cell.ratio.what}: {cell.ratio.measured:.4g} {cell.ratio.unit}", flush=True)
            cells.append(cell)
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    ratios = [cell.ratio for cell in cells]
    print_ratios(ratios)
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "ratios": to_json(ratios),
        "cells": {
            cell.ratio.what: {name: point.to_json() for name, point in cell.points.items()}
            for cell in cells
            if cell.points
        },
        "left_out": left_out,
    }


def _digits(subject: Subject) -> Iterator[Cell]:
    targets: list[Mapping[str, float]] = []
    for psnr, floor, aim in ((20.7, 15, 12.5), (27.0, 66, 55)):
        points = _at_psnr(subject, psnr)
        targets.append(points[OURS].target)
        what = f"digits at {psnr:g} dB"
        yield Cell(_size(what, points[OURS], floor, aim), points)
        yield _beside_klt(what, points)
    for share, floor, aim in ((0.03, 100, 70), (0.1, 60, 42)):
        points = _within(subject, share)
        what = f"digits within {share:.0%} of the range"
        yield Cell(_size(what, points[OURS], floor, aim), points)
        yield _beside_klt(what, points)
    codec = subject.codec(OURS, **targets[0])
    yield Cell(
        Ratio("transform of digits, there and back", _speed(codec, subject), 20e3, 40e3, unit="/s"),
        {},
    )
    training_s = subject.training_s(OURS, **targets[0])
    yield Cell(
        Ratio("training transform for 20.7 dB", training_s, 300, 60, at_most=True, unit="s"), {}
    )


def _patches(subject: Subject) -> Iterator[Cell]:
    psnr = 28.3
    points = _at_psnr(subject, psnr, _FOR_IMAGES) | {"WebP": _webp(subject, psnr)}
    best = min(_FOR_IMAGES, key=lambda arch: points[arch].sample_bytes)
    what = f"patches at {psnr:g} dB, {best}"
    ratio = points[best].sample_bytes / points["WebP"].sample_bytes
    yield Cell(Ratio(f"{what} / WebP on mosaics", ratio, 0.9, 0.75, at_most=True), points)
    yield _beside_klt(what, points, best)


def _tiles(limits: tuple[float, float]) -> Callable[[Subject], Iterator[Cell]]:
    def cells(subject: Subject) -> Iterator[Cell]:
        points = _within(subject, 0.01)
        what = f"{subject.name} within 1% of the range"
        smaller = points["SZ3"].sample_bytes / points[OURS].sample_bytes
        yield Cell(Ratio(f"{what}, SZ3 / ours", smaller, *limits), points)
        yield _beside_klt(what, points)

    return cells


def _embeddings(subject: Subject) -> Iterator[Cell]:
    peers = {
        f"{result.point.method} {result.point.setting}": result
        for method in FAMILIES["faiss"]
        for result in subject.by(method)
    }
    for recall, floor, aim in ((0.86, 74, 62), (0.93, 117, 100)):
        demand = Demand("recall_at_10", recall)
        linear = subject.at(KLT, demand, target_bytes=float(floor))
        target_bytes = float(round(0.9 * linear.sample_bytes))
        cosine = subject.at(KLT, demand, {"metric": COSINE}, target_bytes=target_bytes)
        points = {COSINE: cosine, KLT: linear} | peers
        what = f"embeddings at recall@10 of {recall:g}"
        yield Cell(_size(what, cosine, floor, aim), points)
        yield _beside_klt(what, points, COSINE)


CELLS: dict[str, Callable[[Subject], Iterator[Cell]]] = {
    "digits": _digits,
    "patches": _patches,
    "fields": _tiles((1.8, 2.5)),
    "turbulence": _tiles((1.3, 1.6)),
    "embeddings": _embeddings,
}


def _at_psnr(
    subject: Subject, psnr_db: float, architectures: Iterable[str] = (OURS,)
) -> dict[str, Result]:
    """Codecs at a PSNR of test samples; networks are trained for the target that suits KLT."""
    demand = Demand("psnr_db", psnr_db)
    linear = subject.at(KLT, demand, target_psnr=psnr_db)
    networks = {arch: subject.at(arch, demand, **linear.target) for arch in architectures}
    return networks | {KLT: linear}


def _within(subject: Subject, share: float) -> dict[str, Result]:
    """Ours, trained for a bound, beside SZ3 and quantising."""
    bound = subject.bound(share)
    points = {
        arch: subject.stored(arch, subject.codec(arch, max_error=bound.value), bound)
        for arch in (OURS, KLT)
    }
    peers = {"SZ3": Sz3(), "quantised + JPEG XL": Quantised(LosslessJpegXl())}
    return points | {name: subject.peer(peer, bound) for name, peer in peers.items()}


def _webp(subject: Subject, psnr_db: float) -> Result:
    """WebP on mosaics of 16, at the lowest quality that reaches a PSNR."""

    def at(loss: float) -> Result:
        setting = Setting("quality", round(100 - loss, 1))
        return subject.peer(WebP(MOSAIC), setting, _MOSAIC_PATCHES)

    return at(coarsest(lambda loss: at(loss).point, Demand("psnr_db", psnr_db), 1.0, 100.0))


def _size(what: str, result: Result, floor: float, aim: float) -> Ratio:
    return Ratio(what, result.sample_bytes, floor, aim, at_most=True, unit="B")


def _beside_klt(what: str, points: dict[str, Result], ours: str = OURS) -> Cell:
    ratio = points[ours].sample_bytes / points[KLT].sample_bytes
    return Cell(Ratio(f"{what} / klt", ratio, 1.0, 0.85, at_most=True), {})


def _speed(codec: engine.Codec, subject: Subject) -> float:
    """Samples a second through both networks, one after the other, on one core."""
    alone = codec.on("cpu", threads=1)
    repeats = -(-_SPEED_SAMPLES // len(subject.data.test))
    samples = np.concatenate([subject.data.test] * repeats)
    alone.decode(alone.encode(samples[:256]))
    seconds = []
    for _ in range(_SPEED_ROUNDS):
        began = time.perf_counter()
        alone.decode(alone.encode(samples))
        seconds.append(time.perf_counter() - began)
    return len(samples) / statistics.median(seconds)


def _thinned(data: SplitSamples, most: int | None) -> SplitSamples:
    return SplitSamples(data.train[:most], data.test[:most], data.chunk_samples, data.samples)


def _folder(*options: Any) -> Path:
    """Where a run that was cut off goes on: one folder for each state of the code."""
    digest = hashlib.sha256(repr(options).encode())
    for folder in ("engine", "cuda_kernels", "bench"):
        for path in sorted((_ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    home = cache_folder() / "quality"
    for path in home.glob("*"):
        if path.name != digest.hexdigest():
            shutil.rmtree(path, ignore_errors=True)
    return home / digest.hexdigest()
