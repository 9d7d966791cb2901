"""What latents cost beside their entropy, and how fast a core codes them, beside zstd.

Generated: rounded Laplacian channels of several rates, whose spread drifts. Real: latents of codecs
trained for rate on digits, of digits that are varied until they are many. All that is stored of
latents counts: metadata with their tables, chunks, checksums and indexes. Coding is chosen as a job
does.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import engine
from bench.digits import load_digits
from bench.ratios import Ratio, print_ratios, to_json
from bench.timing import Rounds, Work, interleave
from bench.workloads import varied_digits
from engine.entropy import entropy_bits
from engine.geometry import RowGrid, plan_grid
from engine.jobs.choose_latent_coding import choose_latent_coding
from engine.jobs.codings import tried_chunks
from engine.store.arrays import ShardedArray
from engine.store.coding import LATENT_CODING, Coded, Coding

SAMPLES = 102_400
SMALL_CHUNKS = (64, 128, 256)
TARGET_PSNR = 20.7
ROUNDS = 15
# Standard deviations of the first and the last channel, and channels, by bytes a sample.
RATES = {3: (0.8, 0.1, 40), 9: (2.0, 0.1, 64), 27: (8.0, 0.15, 96)}
_TIMED_CHUNKS = 16
_SAMPLE_BYTES = 784

OURS = "chosen"
ZSTD = "zstd 1"


@dataclass(frozen=True)
class StoredLatents:
    """Latents `(samples, channels)` as a store keeps them."""

    latents: NDArray[Any]
    grid: RowGrid
    coding: Coding

    @classmethod
    def of(cls, latents: NDArray[Any], chunk_samples: int | None = None) -> StoredLatents:
        """Choose as a job does, from chunks spread over the data."""
        grid = plan_grid(len(latents), _SAMPLE_BYTES, latents[0].nbytes, chunk_samples)
        chunks = [latents[start:stop] for start, stop in tried_chunks(grid)]
        return cls(latents, grid, choose_latent_coding(chunks, len(latents)))

    def over_entropy(self) -> float:
        """Stored bytes over the sum of the empirical entropies of the channels."""
        item, dtype = self.latents.shape[1:], self.latents.dtype
        array = ShardedArray("latents", self.grid, item, dtype, 0, coded=Coded(coding=self.coding))
        stored = len(array.metadata())
        for shard in range(self.grid.shard_count):
            rows = self.latents[slice(*self.grid.shard_rows(shard))]
            stored += len(array.encode_shard(rows).content)
        return stored / (len(self.latents) * entropy_bits(self.latents).sum() / 8)


def run(samples: int = SAMPLES, rounds: int = ROUNDS, epochs: int | None = None) -> dict[str, Any]:
    """Measure sizes of stores of so many samples, and speeds by the time of one core."""
    ratios: list[Ratio] = []
    coded: dict[str, Any] = {}
    speeds: dict[str, Any] = {}
    for name, latents in _cases(samples, epochs):
        stored = {"default": StoredLatents.of(latents)}
        stored |= {str(size): StoredLatents.of(latents, size) for size in SMALL_CHUNKS}
        ratios += [_over_entropy(name, chunks, found) for chunks, found in stored.items()]
        timed = {
            way: interleave(works, rounds, clock=time.thread_time)
            for way, works in _works(stored["default"]).items()
        }
        ratios += _speeds(name, timed)
        coded[name] = {chunks: str(Coded(coding=found.coding)) for chunks, found in stored.items()}
        speeds[name] = {way: found.items_per_s() for way, found in timed.items()}
    print_ratios(ratios)
    return {
        "ratios": to_json(ratios),
        "coded": coded,
        "bytes_per_s": speeds,
        "samples": samples,
        "rounds": rounds,
    }


@functools.cache
def laplacian_latents(rate: int, samples: int = SAMPLES) -> NDArray[np.int16]:
    """Rounded Laplacian channels, whose spread drifts by a tenth from first to last sample."""
    first, last, channels = RATES[rate]
    rng = np.random.default_rng(0)
    values = rng.standard_exponential((samples, channels), np.float32)
    values *= rng.choice(np.float32([-1, 1]), values.shape)
    values *= np.geomspace(first, last, channels, dtype=np.float32) / np.sqrt(2)
    values *= np.linspace(0.95, 1.05, samples, dtype=np.float32)[:, None]
    return np.rint(values).astype(np.int16)


def _cases(samples: int, epochs: int | None) -> Iterator[tuple[str, NDArray[Any]]]:
    for rate in RATES:
        yield f"Laplacian, {rate} B", laplacian_latents(rate, samples)
    for arch in ("klt", "transform"):
        yield f"{arch} on digits", trained_latents(arch, samples, epochs)


def trained_latents(arch: str, samples: int = SAMPLES, epochs: int | None = None) -> NDArray[Any]:
    """Latents of varied digits, by a codec trained for rate."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"arch": arch, "target_psnr": TARGET_PSNR, "epochs": epochs, "device": "cpu"}
        codec = engine.train(load_digits()[0], Path(folder, "a.codec"), **options)
        return codec.encode(varied_digits(samples))


def _works(stored: StoredLatents) -> Mapping[str, Mapping[str, Work]]:
    """Encoding and decoding of some chunks, counted by the bytes of their values."""
    size = stored.grid.chunk_samples
    rows = stored.latents[: _TIMED_CHUNKS * size]
    chunks = [rows[start : start + size] for start in range(0, len(rows) - size + 1, size)]
    shape, dtype, counted = chunks[0].shape, rows.dtype, sum(chunk.nbytes for chunk in chunks)
    works: dict[str, dict[str, Work]] = {"encode": {}, "decode": {}}
    for name, coding in {OURS: stored.coding, ZSTD: LATENT_CODING}.items():
        coder = coding.for_chunks(shape, dtype)
        contents = [coder.encode(chunk) for chunk in chunks]
        works["encode"][name] = Work(_each(coder.encode, chunks), counted)
        works["decode"][name] = Work(
            _each(functools.partial(_decoded, coder.decode), contents), counted
        )
    return works


def _each(code: Callable[[Any], object], values: list[Any]) -> Callable[[int], object]:
    return lambda _: [code(value) for value in values]


def _decoded(decode: Callable[[bytes, str], NDArray[Any]], content: bytes) -> NDArray[Any]:
    return decode(content, "chunk")


def _over_entropy(name: str, chunks: str, stored: StoredLatents) -> Ratio:
    target = 1.05 if chunks == "default" else 1.08
    what = f"{name}, {chunks} chunks: stored / entropy"
    return Ratio(what, stored.over_entropy(), target, at_most=True)


def _speeds(name: str, timed: Mapping[str, Rounds]) -> Iterator[Ratio]:
    for way, found in timed.items():
        speed = 1e-6 / found.median_s(OURS)
        limits = (100, 300) if way == "decode" else (None, None)
        yield Ratio(f"{name}: {way}", speed, *limits, unit="MB/s")
        yield Ratio(f"{name}: {way}, {OURS} / {ZSTD}", found.speed_ratio(OURS, ZSTD))
