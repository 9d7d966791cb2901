"""JPEG 2000, by OpenJPEG."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.layouts import MOSAIC, Array, Shape
from engine.comparing.peers.peer import Peer, Refused


class Jpeg2000(Peer):
    """JPEG 2000 to a PSNR, irreversible wavelet; grey or RGB images of uint8 or uint16.

    A bare codestream without the boxes of a file.
    """

    name, package, unit = "JPEG 2000", "imagecodecs", "PSNR"
    sweep = (16.0, 20.0, 23.0, 26.0, 30.0, 34.0, 38.0, 44.0)

    def __init__(self, *layouts: str) -> None:
        self.layouts = layouts or (MOSAIC,)

    def encode(self, array: Array, setting: float) -> bytes:
        """Code an image; the setting is the PSNR to aim at, in dB."""
        import imagecodecs

        if array.dtype not in (np.uint8, np.uint16):
            raise Refused(f"takes no {array.dtype}")
        return bytes(
            imagecodecs.jpeg2k_encode(
                array, level=int(setting), codecformat="J2K", reversible=False, numthreads=1
            )
        )

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """The image, more or less."""
        import imagecodecs

        return np.asarray(imagecodecs.jpeg2k_decode(encoded, numthreads=1), dtype).reshape(shape)
