"""SZ3: prediction by interpolation within an error bound."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.layouts import Array, Shape
from engine.comparing.peers.peer import SURFACES, Peer, as_floats, from_floats


class Sz3(Peer):
    """SZ3, its default algorithm; floats and small integers, up to four dimensions."""

    name, package = "SZ3", "imagecodecs"

    def __init__(self, *layouts: str) -> None:
        self.layouts = layouts or SURFACES

    def encode(self, array: Array, setting: float) -> bytes:
        """Code to an absolute bound."""
        import imagecodecs

        values, tolerance = as_floats(array, setting)
        return bytes(imagecodecs.sz3_encode(values, mode="abs", abs=tolerance))

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Values within the bound of what was coded, if SZ3 keeps its word."""
        import imagecodecs

        coded = dtype if dtype.kind == "f" and dtype.itemsize > 2 else np.dtype(np.float32)
        return from_floats(imagecodecs.sz3_decode(encoded, shape, coded), dtype)
