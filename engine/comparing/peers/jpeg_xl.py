"""JPEG XL, without loss and with."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.layouts import MOSAIC, Array, Shape
from engine.comparing.peers.peer import LOSSLESS, Peer, Refused

_EFFORT = 7


class LosslessJpegXl(Peer):
    """JPEG XL, lossless, at its default effort; grey or RGB images of uint8 or uint16."""

    name, package, unit = "JPEG XL", "imagecodecs", LOSSLESS

    def __init__(self, *layouts: str) -> None:
        self.layouts = layouts or (MOSAIC,)

    def encode(self, array: Array, setting: float) -> bytes:
        """Code an image `(height, width)` or `(height, width, 3)`."""
        import imagecodecs

        _check(array)
        return bytes(imagecodecs.jpegxl_encode(array, lossless=True, effort=_EFFORT, numthreads=1))

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Exactly what was coded."""
        return _decode(encoded, shape, dtype)


class JpegXl(Peer):
    """JPEG XL at a distance, at its default effort; grey or RGB images of uint8 or uint16."""

    name, package, unit = "JPEG XL", "imagecodecs", "distance"
    sweep = (25.0, 15.0, 10.0, 6.0, 4.0, 2.0, 1.0, 0.5)

    def __init__(self, *layouts: str) -> None:
        self.layouts = layouts or (MOSAIC,)

    def encode(self, array: Array, setting: float) -> bytes:
        """Code an image; the setting is the distance."""
        import imagecodecs

        _check(array)
        return bytes(
            imagecodecs.jpegxl_encode(array, distance=setting, effort=_EFFORT, numthreads=1)
        )

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """The image, more or less."""
        return _decode(encoded, shape, dtype)


def _check(array: Array) -> None:
    if array.dtype not in (np.uint8, np.uint16):
        raise Refused(f"takes no {array.dtype}")


def _decode(encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
    import imagecodecs

    return np.asarray(imagecodecs.jpegxl_decode(encoded, numthreads=1), dtype).reshape(shape)
