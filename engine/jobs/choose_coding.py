"""Chooses how an array is predicted and coded, by trying it on a few of its chunks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.entropy import entropy
from engine.store.coding import PCODEC, ZSTD, Coded, Coding
from engine.store.least_absolute import least_absolute
from engine.store.prediction import NO_PREDICTION, WEIGHT_BITS, Prediction

_FAST_ZSTD, _SLOW_ZSTD = 1, 6  # the second is the highest that keeps to about 50 MB/s
_PCODEC_LEVEL = 8
_TRIED_PREDICTIONS = 2
_WORTH_IT = 0.998
_FITTED_VALUES = 1 << 16
# How far neighbours of a weighted sum lie at most, all axes together, by the number of axes.
_REACH = {1: 2, 2: 3, 3: 2}


def choose_coding(chunks: Sequence[NDArray[Any]], *, portable: bool) -> Coded:
    """The smallest way to keep chunks like these, of those that code tens of megabytes a second.

    Args:
        chunks: a few `(chunk_samples, *item_shape)` of integers or floats, of one shape and dtype.
        portable: core Zarr v3 codecs only.

    The predictions of least entropy are tried with every coding; a dearer one must save something.
    """
    dtype = chunks[0].dtype
    best, smallest = Coded(), math.inf
    for prediction in _promising(chunks):
        differences = [prediction.to_differences(chunk) for chunk in chunks]
        for coding in _codings(dtype, portable=portable):
            size = _size_bytes(coding, differences, smallest * _WORTH_IT)
            if size is not None:
                best, smallest = Coded(prediction, coding), size
    return best


def _size_bytes(coding: Coding, chunks: Sequence[NDArray[Any]], limit: float) -> int | None:
    """What the chunks take; None as soon as that isn't below the limit."""
    size = 0
    for chunk in chunks:
        size += len(coding.encode(chunk))
        if size >= limit:
            return None
    return size


def _codings(dtype: np.dtype[Any], *, portable: bool) -> Iterator[Coding]:
    """Codings that won on some kind of data, the cheap ones first."""
    planes = dtype.itemsize > 1
    yield Coding(ZSTD, _FAST_ZSTD, samples_last=True, planes=planes)
    yield Coding(ZSTD, _FAST_ZSTD, samples_last=False, planes=planes)
    if not portable:
        yield Coding(PCODEC, _PCODEC_LEVEL, samples_last=False)
    yield Coding(ZSTD, _SLOW_ZSTD, samples_last=False, planes=planes)
    if dtype.kind == "f":
        yield Coding(ZSTD, _SLOW_ZSTD, samples_last=False)


def _promising(chunks: Sequence[NDArray[Any]]) -> list[Prediction]:
    """No prediction, and those whose differences have the least entropy."""
    if chunks[0].dtype.kind not in "iu" or chunks[0].size == 0:
        return [NO_PREDICTION]
    tried = [*_axis_predictions(chunks[0].ndim), *_fitted(chunks)]
    entropies = [
        sum(chunk.size * entropy(prediction.to_differences(chunk)) for chunk in chunks)
        for prediction in tried
    ]
    ranked = [tried[place] for place in np.argsort(entropies, kind="stable")]
    return [NO_PREDICTION, *ranked[:_TRIED_PREDICTIONS]]


def _axis_predictions(axes: int) -> Iterator[Prediction]:
    """Differences along up to three axes; medians over two, other axes differenced before."""
    items = range(1, axes)
    yield Prediction(differences=(0,))
    for count in range(1, min(len(items), 3) + 1):
        for chosen in itertools.combinations(items, count):
            yield Prediction(differences=chosen)
    for plane in itertools.combinations(items, 2):
        yield Prediction(median=plane)
        for other in set(items) - set(plane):
            yield Prediction(differences=(other,), median=plane)


def _fitted(chunks: Sequence[NDArray[Any]]) -> Iterator[Prediction]:
    """The weighted sum of neighbours that comes nearest in absolute terms."""
    axes, itemsize = chunks[0].ndim - 1, chunks[0].dtype.itemsize
    if axes not in _REACH or itemsize > 4:
        return
    # The nearest come last: while they are still being decoded, the others are summed up.
    steps = range(_REACH[axes], -_REACH[axes] - 1, -1)
    offsets = tuple(
        offset
        for offset in itertools.product(steps, repeat=axes)
        if 0 < sum(map(abs, offset)) <= _REACH[axes]
        and max(map(abs, offset)) <= 2
        and next(step for step in offset if step) > 0
    )
    weights = np.rint(least_absolute(*_equations(chunks, offsets)) * (1 << WEIGHT_BITS))
    if np.abs(weights).max() < 1 << 12:
        yield Prediction(offsets=offsets, weights=tuple(int(weight) for weight in weights))


def _equations(
    chunks: Sequence[NDArray[Any]], offsets: Sequence[Sequence[int]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Neighbours `(values, neighbours)` and values of some samples, spread over the chunks."""
    samples = np.concatenate(list(chunks))
    wanted = max(1, _FITTED_VALUES // max(1, samples[0].size))
    samples = samples[:: -(-len(samples) // wanted)].astype(np.float64)
    neighbours = np.zeros((len(offsets), *samples.shape))
    for place, offset in enumerate(offsets):
        here = [slice(max(step, 0), step if step < 0 else None) for step in offset]
        there = [slice(max(-step, 0), -step if step > 0 else None) for step in offset]
        neighbours[place][(slice(None), *here)] = samples[(slice(None), *there)]
    return neighbours.reshape(len(offsets), -1).T, samples.reshape(-1)
