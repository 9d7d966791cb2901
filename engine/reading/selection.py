"""What an index asks for: NumPy's rules for the first axis, as row numbers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidInput


def select_rows(key: Any, length: int) -> tuple[NDArray[np.int64], bool]:
    """Rows that `key` asks for among `length`, and whether it asks for a single sample.

    `key` is an integer, a slice, a list of integers in any order, or a boolean mask.

    Raises:
        IndexError: a row out of range.
        InvalidInput: an index that can't select samples.
    """
    if isinstance(key, slice):
        return np.arange(*key.indices(length), dtype=np.int64), False
    if key is Ellipsis:
        return np.arange(length, dtype=np.int64), False
    if not isinstance(key, bool | np.bool_):
        try:
            return _in_range(np.array([operator.index(key)], np.int64), length), True
        except TypeError:
            pass
    rows = np.asarray(key)
    if rows.size == 0 and rows.ndim == 1 and rows.dtype != bool:
        return np.empty(0, np.int64), False
    if rows.dtype == bool and rows.shape == (length,):
        return np.flatnonzero(rows).astype(np.int64), False
    if rows.dtype == bool or rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise InvalidInput(
            f"samples are selected by an integer, a slice, a list of integers or a mask of "
            f"{length} booleans, got {rows.dtype} of shape {rows.shape}"
        )
    return _in_range(rows.astype(np.int64), length), False


def _in_range(rows: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    outside = (rows < -length) | (rows >= length)
    if outside.any():
        raise IndexError(f"sample {rows[outside][0]} is out of range for {length} samples")
    return np.where(rows < 0, rows + length, rows)
