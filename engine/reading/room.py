"""Memory of the caller's that samples are to be read into."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidInput


def checked_room(out: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """`out`, if samples of this shape and dtype can be written straight into it.

    Raises:
        InvalidInput: they can't.
    """
    fits = isinstance(out, np.ndarray) and (out.shape, out.dtype) == (shape, dtype)
    if not (fits and out.flags.c_contiguous and out.flags.writeable):
        found = f"one of {out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else None
        raise InvalidInput(
            f"out must be a writable, C-contiguous array of {dtype} of shape {shape}, "
            f"got {found or type(out).__name__}"
        )
    return out
