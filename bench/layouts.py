"""How a list of samples is laid before a codec that knows one to four dimensions.

Samples are `(n, height, width)` or `(n, height, width, channels)`; every layout is undone exactly.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]

SEQUENCE = "sequence"
POSITION_MAJOR = "position-major"
VOLUME = "volume"
STACK = "stack"
MOSAIC = "mosaic"


def lay(samples: Array, layout: str) -> Array:
    """Arrange samples, in C order.

    `sequence`: one dimension, sample after sample. `position-major`: one dimension, all samples'
    first element, then their second. `volume`: `(n, height, width)`, channels second.
    `stack`: `(n * height, width)`, channels one below the other. `mosaic`: one image of
    `rows x columns` samples, as near to square as the number of samples divides.
    """
    n, height, width = samples.shape[:3]
    if layout == SEQUENCE:
        laid = samples.reshape(-1)
    elif layout == POSITION_MAJOR:
        laid = samples.reshape(n, -1).T.reshape(-1)
    elif layout == MOSAIC:
        grid = samples.reshape(*_mosaic(n), *samples.shape[1:])
        rows, columns = grid.shape[:2]
        laid = grid.swapaxes(1, 2).reshape(rows * height, columns * width, *samples.shape[3:])
    else:
        planes = np.moveaxis(samples, -1, 1) if samples.ndim == 4 else samples
        laid = planes if layout == VOLUME else planes.reshape(-1, width)
    return np.ascontiguousarray(laid)


def unlay(laid: Array, layout: str, shape: Shape) -> Array:
    """The samples of `shape` that `lay` arranged."""
    n, height, width, *channels = shape
    if layout == POSITION_MAJOR:
        return laid.reshape(-1, n).T.reshape(shape)
    if layout == MOSAIC:
        rows, columns = _mosaic(n)
        grid = laid.reshape(rows, height, columns, width, *channels)
        return grid.swapaxes(1, 2).reshape(shape)
    if layout == SEQUENCE or not channels:
        return laid.reshape(shape)
    return np.moveaxis(laid.reshape(n, *channels, height, width), 1, -1)


def _mosaic(n: int) -> tuple[int, int]:
    rows = next(count for count in range(math.isqrt(n), 0, -1) if n % count == 0)
    return rows, n // rows
