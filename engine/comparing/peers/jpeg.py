"""JPEG, by libjpeg-turbo."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.layouts import MOSAIC, Array, Shape
from engine.comparing.peers.peer import Peer, Refused


class Jpeg(Peer):
    """JPEG at a quality, Huffman tables optimised; grey or RGB images of uint8."""

    name, package, unit = "JPEG", "imagecodecs", "quality"
    sweep = (5.0, 10.0, 20.0, 35.0, 50.0, 70.0, 85.0, 95.0)

    def __init__(self, *layouts: str) -> None:
        self.layouts = layouts or (MOSAIC,)

    def encode(self, array: Array, setting: float) -> bytes:
        """Code an image; the setting is the quality, 1 to 100."""
        import imagecodecs

        if array.dtype != np.uint8:
            raise Refused(f"takes no {array.dtype}")
        return bytes(imagecodecs.jpeg8_encode(array, level=int(setting), optimize=True))

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """The image, more or less."""
        import imagecodecs

        return np.asarray(imagecodecs.jpeg8_decode(encoded), dtype).reshape(shape)
