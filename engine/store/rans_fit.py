"""Fits the tables of the entropy coder to values: what is counted, in 4096ths."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.store.rans_tables import MOST_SHIFT, MOST_SYMBOLS, TOTAL, RansTable, RansTables

_WORTH_IT = 0.998
_RARE = 4  # a value that is rarer than 1/4 of the least frequency costs less as an escape


def fit_tables(values: NDArray[Any], tables: int) -> RansTables:
    """Tables for arrays like `values`, as many as there are `tables`.

    Args:
        values: int8 or int16 `(samples, *item_shape)`; the more, the better the tables.
        tables: position p of the P of an item has table `p * tables // P`.
    """
    items = values.reshape(len(values), math.prod(values.shape[1:]))
    used = np.arange(items.shape[1]) * tables // max(1, items.shape[1])
    bounds = np.searchsorted(used, np.arange(tables + 1))
    return RansTables(
        tuple(
            fit_table(items[:, start:stop], items.dtype.itemsize)
            for start, stop in itertools.pairwise(bounds)
        )
    )


def fit_table(values: NDArray[Any], itemsize: int) -> RansTable:
    """The table that codes `values` in the fewest bits; of equally good ones, the first."""
    counted = values.astype(np.int64).reshape(-1)
    best, fewest_bits = (0, 0, np.array([1, 0])), math.inf
    for shift in range(MOST_SHIFT + 1) if counted.size else ():
        symbols = counted >> shift
        low = int(symbols.min())
        counts = np.bincount(symbols - low)
        first, last = _kept(counts)
        if 2 * counts[first:last].sum() < counted.size and shift < MOST_SHIFT:
            continue  # most values would escape
        # As many values of the whole array as occur once here don't occur here at all (Good 1953).
        escapes = max(counts.sum() - counts[first:last].sum(), (counts == 1).sum())
        kept = np.append(counts[first:last], escapes)
        bits = _bits(kept) + shift * counted.size + int(escapes) * 8 * itemsize
        if bits < fewest_bits * _WORTH_IT:
            best, fewest_bits = (shift, low + first, kept), bits
        if last - first <= 32:
            break
    shift, low, kept = best
    return RansTable(shift, low, tuple(_frequencies(kept)[:-1].tolist()))


def _kept(counts: NDArray[np.int64]) -> tuple[int, int]:
    """The range of symbols that a table should have: no rare ones at its ends, and not too many."""
    common = np.flatnonzero(counts * TOTAL * _RARE > counts.sum())
    if not common.size:
        return 0, 0
    first, last = int(common[0]), int(common[-1]) + 1
    if last - first > MOST_SYMBOLS:
        before = np.concatenate([[0], np.cumsum(counts[first:last])])
        first += int(np.argmax(before[MOST_SYMBOLS:] - before[:-MOST_SYMBOLS]))
        last = first + MOST_SYMBOLS
    return first, last


def _frequencies(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positive integers that add up to 4096, in proportion to `counts` as far as they can be.

    Those change that change the size least: half as many at once as are needed.
    """
    frequencies = np.maximum(1, counts * TOTAL // max(1, int(counts.sum())))
    while (missing := TOTAL - int(frequencies.sum())) != 0:
        step = 1 if missing > 0 else -1
        free = np.flatnonzero(frequencies + step >= 1)
        saved_bits = counts[free] * np.log2(1 + step / frequencies[free])
        best = np.argsort(-saved_bits, kind="stable")[: max(1, abs(missing) // 2)]
        frequencies[free[best]] += step
    return frequencies


def _bits(counts: NDArray[np.int64]) -> float:
    """What symbols that are so frequent take, about: none is rarer than 1/4096."""
    shares = np.maximum(counts / max(1, counts.sum()), 1 / TOTAL)
    return float(counts @ np.log2(shares.sum() / shares))
