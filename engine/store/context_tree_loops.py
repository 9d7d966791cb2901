"""The loop that grows the tree of a contextual model: what asking a property saves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compile_loop

BINS = 32


@compile_loop
def best_split(
    rows: NDArray[np.int64],
    bins: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    logs: NDArray[np.float64],
) -> tuple[float, int, int, int]:
    """The property and the last of its low bins that part `rows` best.

    Args:
        rows: some of the values.
        bins: of properties `(asked, values)`.
        classes: what is coded `(values,)`.
        logs: n log2(n) of each number.

    Returns bits saved, the property, the bin, and how many classes there are.
    """
    counts = np.zeros((BINS, 256), np.int32)
    total, below = np.zeros(256, np.int32), np.empty(256, np.int32)
    for row in rows:
        total[classes[row]] += 1
    seen = np.flatnonzero(total)
    whole = logs[rows.size]
    for symbol in seen:
        whole -= logs[total[symbol]]
    best, best_property, best_bin = 0.0, 0, 0
    for asked in range(bins.shape[0]):
        counts[:] = 0
        of = bins[asked]
        for row in rows:
            counts[np.uint64(of[row]), np.uint64(classes[row])] += 1
        below[:] = 0
        low, terms = 0, logs[rows.size] - whole
        for last in range(BINS - 1):
            before = low
            for symbol in seen:
                more = counts[last, symbol]
                if more > 0:
                    so_far, of_all = below[symbol], total[symbol]
                    terms += logs[so_far + more] - logs[so_far]
                    terms += logs[of_all - so_far - more] - logs[of_all - so_far]
                    below[symbol] = so_far + more
                    low += more
            if low == rows.size:
                break
            saved = whole - (logs[low] + logs[rows.size - low] - terms)
            if low > before and saved > best:
                best, best_property, best_bin = saved, asked, last
    return best, best_property, best_bin, seen.size
