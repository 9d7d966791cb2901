"""The simplest bounded codec: uniform quantisation, and a lossless coder behind it."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from engine.comparing.layouts import Array, Shape
from engine.comparing.peers.peer import Peer, Refused, from_floats


class Quantised(Peer):
    """Uniform quantisation to the bound, its integers kept by a lossless peer; finite values."""

    def __init__(self, coder: Peer) -> None:
        self.name, self._coder = f"quantised {coder.name}", coder
        self.package, self.layouts = coder.package, coder.layouts

    def encode(self, array: Array, setting: float) -> bytes:
        """Code to an absolute bound."""
        if not np.isfinite(array).all():
            raise Refused("NaN has no level")
        base, step = float(array.min()), _step(array, setting)
        levels = np.rint((array - np.float64(base)) / step)
        levels = levels.astype(np.min_scalar_type(int(levels.max())))
        header = struct.pack("<ddB", base, step, levels.itemsize)
        return header + self._coder.encode(levels, 0)

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Values within the bound of what was coded."""
        base, step, itemsize = struct.unpack("<ddB", encoded[:17])
        levels = self._coder.decode(encoded[17:], shape, np.dtype(f"u{itemsize}"))
        return from_floats(base + levels * np.float64(step), dtype)


def _step(array: Array, bound: float) -> float:
    """Of the coarsest quantiser that keeps the bound after rounding to the array's dtype."""
    if array.dtype.kind in "iu":
        return 2 * math.floor(bound) + 1
    rounding = float(np.spacing(np.abs(array).max())) / 2
    if bound <= rounding:
        raise Refused("bound below the dtype's precision")
    return 2 * (bound - rounding) * (1 - 1e-9)
