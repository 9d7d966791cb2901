"""Empirical entropy of integers: what an ideal coder needs that looks at each channel alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_COUNTED_AT_ONCE = 1 << 20  # of a wider range, the counts could outgrow the integers


def entropy_bits(integers: NDArray[Any]) -> NDArray[np.float64]:
    """Empirical entropy, bits, of each channel `(channels,)` of integers `(n, channels)`."""
    return np.array([entropy(channel) for channel in integers.T])


def sample_bits(integers: NDArray[Any]) -> NDArray[np.float64]:
    """Bits of a sample in each channel `(channels,)` of integers `(n, channels, *grid)`.

    All positions of the grid share the channel's distribution.
    """
    rows = np.moveaxis(integers, 1, -1).reshape(-1, integers.shape[1])
    return entropy_bits(rows) * (len(rows) / len(integers))


def entropy(integers: NDArray[Any]) -> float:
    """Empirical entropy, bits, of one of many integers, in any shape."""
    low, high = int(integers.min()), int(integers.max())
    # Modulo 2**64 differences are right whatever the dtype; floats below 0 become no unsigned ones.
    wide = np.uint64 if integers.dtype.kind == "u" else np.int64
    above_low = integers.ravel().astype(wide).view(np.uint64) - np.uint64(low % (1 << 64))
    if high - low < _COUNTED_AT_ONCE:
        counts = np.bincount(above_low.astype(np.int64))
    else:
        counts = np.unique(above_low, return_counts=True)[1]
    share = counts[counts > 0] / integers.size
    return float(-(share * np.log2(share)).sum())
