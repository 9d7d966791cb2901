"""ZFP: blocks of 4^d values to a tolerance."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.fidelity import max_abs_error
from engine.comparing.layouts import Array, Shape
from engine.comparing.peers.peer import SURFACES, Peer, as_floats, from_floats


class Zfp(Peer):
    """ZFP to an accuracy, which it rounds down to a power of two; up to four dimensions.

    Floats and small integers. Its errors stay several times under the tolerance.
    """

    name, package = "ZFP", "imagecodecs"

    def __init__(self, *layouts: str) -> None:
        self.layouts = layouts or SURFACES

    def encode(self, array: Array, setting: float) -> bytes:
        """Code to an absolute tolerance."""
        values, tolerance = as_floats(array, setting)
        return _encode(values, tolerance)

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Values within the tolerance of what was coded, if ZFP keeps its word."""
        import imagecodecs

        return from_floats(imagecodecs.zfp_decode(encoded).reshape(shape), dtype)


class BoundedZfp(Zfp):
    """ZFP at the coarsest of some larger tolerances whose measured error is within the bound."""

    _FACTORS = (8, 4, 2, 1)

    def encode(self, array: Array, setting: float) -> bytes:
        """Code to an absolute bound."""
        values, tolerance = as_floats(array, setting)
        for factor in self._FACTORS:
            encoded = _encode(values, tolerance * factor)
            if max_abs_error(array, self.decode(encoded, array.shape, array.dtype)) <= setting:
                break
        return encoded


def _encode(values: Array, tolerance: Any) -> bytes:  # typed as an int there, and used as a double
    import imagecodecs

    return bytes(imagecodecs.zfp_encode(values, level=tolerance, mode="accuracy"))
