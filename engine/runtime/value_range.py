"""Smallest and largest value of samples, those of bytes in one pass."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compile_loop


def value_range(values: NDArray[Any]) -> tuple[float, float]:
    """The two as floats; of no values infinity and its negative, and NaN where one is."""
    if not values.size:
        return np.inf, -np.inf
    if values.dtype.itemsize == 1 and values.flags.c_contiguous:  # wider ones NumPy has vectorised
        low, high = _compiled()(values.reshape(-1))
        return float(low), float(high)
    return float(values.min()), float(values.max())


@functools.cache
def _compiled() -> Callable[..., tuple[int, int]]:
    return compile_loop(_reduce)


def _reduce(values: NDArray[Any]) -> tuple[Any, Any]:
    low = high = values[0]
    for value in values:
        low, high = min(low, value), max(high, value)
    return low, high
