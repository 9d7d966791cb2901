"""How a list of samples is laid before a codec that knows one to four dimensions.

Samples are vectors `(n, elements)`, images `(n, height, width)` or `(n, height, width, channels)`,
or of any higher rank; every layout is undone exactly.
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
SINGLE = "per sample"

_MAX_CHANNELS = 4


def allows(layout: str, sample_shape: Shape) -> bool:
    """Whether samples of this shape can be laid so: images are grey or have three channels."""
    if layout == SINGLE:
        return is_image(sample_shape)
    return layout != MOSAIC or len(sample_shape) == 1 or is_image(sample_shape)


def is_image(sample_shape: Shape) -> bool:
    """Whether samples are pictures: `(height, width)`, with 1 or 3 channels after if any."""
    return len(sample_shape) == 2 or (len(sample_shape) == 3 and sample_shape[-1] in (1, 3))


def lay(samples: Array, layout: str) -> Array:
    """Arrange samples, in C order.

    `sequence`: one dimension, sample after sample. `position-major`: one dimension, all samples'
    first element, then their second. `volume`: `(n, height, width)`, channels second, further axes
    as one. `stack`: `(n * height, width)`, channels one below the other. `mosaic`: one image of
    `rows x columns` samples, as near to square as the number of samples divides; of vectors, one a
    line.
    """
    if layout == SEQUENCE:
        laid = samples.reshape(-1)
    elif layout == POSITION_MAJOR:
        laid = samples.reshape(len(samples), -1).T.reshape(-1)
    elif layout == MOSAIC:
        laid = _mosaic(samples)
    else:
        planes = np.moveaxis(samples, -1, 1) if _has_channels(samples.shape) else samples
        width = samples.shape[2 if _has_channels(samples.shape) else -1]
        laid = planes.reshape(-1, width) if layout == STACK else _at_most_four(planes)
    return np.ascontiguousarray(laid)


def unlay(laid: Array, layout: str, shape: Shape) -> Array:
    """The samples of `shape` that `lay` arranged."""
    if layout == POSITION_MAJOR:
        return laid.reshape(-1, shape[0]).T.reshape(shape)
    if layout == MOSAIC and len(shape) > 2:
        n, height, width, *channels = shape
        rows, columns = _mosaic_grid(n)
        grid = laid.reshape(rows, height, columns, width, *channels)
        return grid.swapaxes(1, 2).reshape(shape)
    if layout in (VOLUME, STACK) and _has_channels(shape):
        n, height, width, channel_count = shape
        return np.moveaxis(laid.reshape(n, channel_count, height, width), 1, -1)
    return laid.reshape(shape)


def _mosaic(samples: Array) -> Array:
    if samples.ndim == 2:
        return samples
    n, height, width, *channels = samples.shape
    rows, columns = _mosaic_grid(n)
    grid = samples.reshape(rows, columns, height, width, *channels).swapaxes(1, 2)
    kept = [count for count in channels if count > 1]
    return grid.reshape(rows * height, columns * width, *kept)


def _mosaic_grid(n: int) -> tuple[int, int]:
    rows = next(count for count in range(math.isqrt(n), 0, -1) if n % count == 0)
    return rows, n // rows


def _has_channels(shape: Shape) -> bool:
    return len(shape) == 4 and shape[-1] <= _MAX_CHANNELS


def _at_most_four(planes: Array) -> Array:
    return planes if planes.ndim <= 4 else planes.reshape(len(planes), -1, *planes.shape[-2:])
