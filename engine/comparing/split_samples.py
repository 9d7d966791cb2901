"""Which samples codecs may learn from, and which they are measured on.

Whole chunks are held out, because neighbours are alike in many datasets: peers then meet the
neighbours that a store's chunk has, and no held-out sample lies between two that were learnt.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidInput
from engine.jobs.survey import Survey, survey
from engine.sources import Source, open_source

MAX_CHUNK_SAMPLES = 64
MAX_CHUNK_BYTES = 256 * 1024
DEFAULT_TEST_SAMPLES = 1024
MAX_TRAIN_SAMPLES = 20_000
MAX_TRAIN_BYTES = 256 * 1024 * 1024
_TEST_SHARE = 5

Runs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Split:
    """Runs of rows `[start, stop)`, ascending: `test` of whole chunks, `train` of others."""

    chunk_samples: int
    test: Runs
    train: Runs


@dataclass(frozen=True, eq=False)
class SplitSamples:
    """Samples `(n, *sample_shape)` to learn from and to measure on.

    `samples` counts those of the whole dataset.
    """

    train: NDArray[Any]
    test: NDArray[Any]
    chunk_samples: int
    samples: int

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.test.shape[1:]

    @property
    def sample_bytes(self) -> int:
        """Bytes of one raw sample."""
        return math.prod(self.sample_shape) * self.test.dtype.itemsize

    @property
    def chunks(self) -> list[NDArray[Any]]:
        """The test samples, chunk by chunk."""
        size = self.chunk_samples
        return [self.test[at : at + size] for at in range(0, len(self.test), size)]

    @functools.cached_property
    def mean(self) -> NDArray[np.float32]:
        """The mean field of the training samples, `sample_shape`."""
        with np.errstate(all="ignore"):  # infinities, and what float32 can't hold
            mean: NDArray[np.float32] = self.train.mean(0, np.float64).astype(np.float32)
        return mean

    @functools.cached_property
    def survey(self) -> Survey:
        """Range, gaps and fill values of the training samples."""
        with open_source(self.train) as source:
            return survey(source, None)

    @property
    def value_range(self) -> float:
        """From the smallest to the largest training value that is finite and no fill value."""
        return self.survey.span

    @property
    def has_gaps(self) -> bool:
        """Whether training samples lack elements: NaN, infinity, fill values."""
        return bool(self.survey.nonfinite or self.survey.fill_values)

    @functools.cached_property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of shapes, dtype and every sample."""
        digest = hashlib.sha256()
        for rows in (self.train, self.test):
            digest.update(f"{rows.shape} {rows.dtype.str} {self.chunk_samples}".encode())
            digest.update(np.ascontiguousarray(rows).data)
        return digest.hexdigest()


def plan_split(
    samples: int,
    sample_bytes: int,
    *,
    test_samples: int = DEFAULT_TEST_SAMPLES,
    chunk_samples: int | None = None,
    seed: int = 0,
) -> Split:
    """Draw chunks to hold out, at most a fifth of the samples, and the rows to learn from.

    Raises:
        InvalidInput: too few samples for two chunks.
    """
    chunk = chunk_samples or _chunk_samples(samples, sample_bytes)
    whole = samples // chunk
    if whole < 2:
        raise InvalidInput(
            f"a comparison needs two chunks, one to learn from and one to measure on; "
            f"{samples} samples make {whole} of {chunk}: give more samples or a smaller "
            f"--chunk-samples"
        )
    held_out = max(1, min(whole // _TEST_SHARE, -(-test_samples // chunk)))
    order = np.random.default_rng(seed).permutation(whole)
    rows = max(chunk, min(MAX_TRAIN_SAMPLES, MAX_TRAIN_BYTES // sample_bytes))
    test, rest = set(order[:held_out]), order[held_out:][: -(-rows // chunk)]
    train = [_chunk_run(at, chunk) for at in sorted(rest)]
    if rows > len(rest) * chunk and whole * chunk < samples:
        train.append((whole * chunk, samples))
    return Split(chunk, _merged(_chunk_run(at, chunk) for at in sorted(test)), _merged(train))


def plan_apart(
    train: int,
    test: int,
    sample_bytes: int,
    *,
    test_samples: int = DEFAULT_TEST_SAMPLES,
    chunk_samples: int | None = None,
    seed: int = 0,
) -> Split:
    """Draw chunks of two datasets: one to learn from, one that is held out as a whole.

    Raises:
        InvalidInput: one of them doesn't fill a chunk.
    """
    chunk = chunk_samples or _chunk_samples(min(train, test), sample_bytes)
    if min(train, test) < chunk:
        raise InvalidInput(
            f"{train} samples to learn from and {test} held out don't fill a chunk of {chunk} "
            f"each: give more samples or a smaller --chunk-samples"
        )
    rows = min(MAX_TRAIN_SAMPLES, MAX_TRAIN_BYTES // sample_bytes)
    return Split(chunk, _drawn(test, test_samples, chunk, seed), _drawn(train, rows, chunk, seed))


def read_split(source: Source, split: Split, apart: Source | None = None) -> SplitSamples:
    """Read the rows of a split from a source, test rows from the one that is held out if any.

    Raises:
        InvalidInput: the two hold samples of different kinds.
    """
    other = apart or source
    if (other.dtype, other.sample_shape) != (source.dtype, source.sample_shape):
        raise InvalidInput(
            f"{other.name}: holds {other.dtype} samples of shape {other.sample_shape}, "
            f"{source.name} holds {source.dtype} of shape {source.sample_shape}; "
            f"hold out samples of the same kind"
        )
    train = np.concatenate([source.read(start, stop) for start, stop in split.train])
    test = np.concatenate([other.read(start, stop) for start, stop in split.test])
    return SplitSamples(train, test, split.chunk_samples, len(source))


def _drawn(samples: int, wanted: int, chunk: int, seed: int) -> Runs:
    """About `wanted` rows in whole chunks."""
    order = np.random.default_rng(seed).permutation(samples // chunk)
    return _merged(_chunk_run(at, chunk) for at in sorted(order[: -(-wanted // chunk)]))


def _chunk_samples(samples: int, sample_bytes: int) -> int:
    """A power of two of samples, at most a quarter of a megabyte, and two of them at least."""
    fitting = min(MAX_CHUNK_SAMPLES, MAX_CHUNK_BYTES // sample_bytes, samples // 2)
    return 1 << (max(1, fitting).bit_length() - 1)


def _chunk_run(at: int, chunk: int) -> tuple[int, int]:
    return int(at) * chunk, (int(at) + 1) * chunk


def _merged(runs: Iterable[tuple[int, int]]) -> Runs:
    merged: list[tuple[int, int]] = []
    for start, stop in runs:
        begin = merged.pop()[0] if merged and merged[-1][1] == start else start
        merged.append((begin, stop))
    return tuple(merged)
