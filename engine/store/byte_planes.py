"""Values as bytes of one kind beside each other; those above the lowest of small integers are 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_planes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The little-endian bytes of values `(...)`, integers folded, as `(..., itemsize)`."""
    dtype = values.dtype
    if dtype.kind in "iu":
        signed = values.astype(f"=i{dtype.itemsize}", copy=False)
        values = (signed << 1) ^ (signed >> (8 * dtype.itemsize - 1))
    raw = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return raw.reshape(*raw.shape, 1).view(np.uint8)


def from_planes(stored: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values of `dtype` from what `to_planes` made of them."""
    raw = np.ascontiguousarray(stored)
    if dtype.kind not in "iu":
        return raw.view(dtype.newbyteorder("<"))[..., 0]
    folded = raw.view(f"<u{dtype.itemsize}")[..., 0]
    unfolded: NDArray[Any] = (folded >> 1) ^ (-(folded & 1).astype(folded.dtype))
    return unfolded.view(dtype.newbyteorder("<"))
