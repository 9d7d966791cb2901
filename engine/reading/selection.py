"""What an index asks for: NumPy's rules for the first axis, as row numbers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidInput


def select_rows(key: Any, length: int) -> NDArray[np.int64]:
    """Rows that `key` asks for among `length`.

    `key` is an integer, a slice, a list of integers in any order, or a boolean mask.

    Raises:
        IndexError: a row out of range.
        InvalidInput: an index that can't select samples.
    """
    if isinstance(key, slice):
        found = slice_rows(key, length)
        return np.arange(found.start, found.stop, found.step, dtype=np.int64)
    if is_integer(key):
        return np.array([select_row(key, length)], np.int64)
    rows = _as_array(key)
    if rows.dtype == bool and rows.shape == (length,):
        return np.flatnonzero(rows).astype(np.int64)
    if rows.shape == (0,) and rows.dtype != bool:
        return np.empty(0, np.int64)
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise InvalidInput(
            f"samples are selected by an integer, a slice, a list of integers or a mask of "
            f"{length} booleans, got {rows.dtype} of shape {rows.shape}"
        )
    return _in_range(rows, length)


def select_row(key: Any, length: int) -> int:
    """The row that an integer asks for among `length`.

    Raises:
        IndexError: it is out of range.
    """
    row = operator.index(key)
    if not -length <= row < length:
        raise IndexError(f"sample {row} is out of range for {length} samples")
    return row % length


def is_integer(key: Any) -> bool:
    """Whether an index asks for a single sample, which takes the first axis away."""
    try:
        operator.index(key)
    except TypeError:
        return False
    return not isinstance(key, bool | np.bool_)


def slice_rows(key: slice, length: int) -> range:
    """Rows that a slice asks for among `length`, which take no memory.

    Raises:
        InvalidInput: its numbers aren't integers, or its step is 0.
    """
    try:
        return range(*key.indices(length))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{key} can't select samples: {error}") from None


def _as_array(key: Any) -> NDArray[Any]:
    try:
        return np.asarray(key)
    except ValueError as error:
        raise InvalidInput(f"samples can't be selected by a ragged list: {error}") from None


def _in_range(rows: NDArray[Any], length: int) -> NDArray[np.int64]:
    outside = (rows < -length) | (rows >= length)
    if outside.any():
        raise IndexError(f"sample {rows[outside][0]} is out of range for {length} samples")
    found: NDArray[np.int64] = rows.astype(np.int64) % length
    return found
