"""WebP, by libwebp."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.layouts import MOSAIC, Array, Shape
from engine.comparing.peers.peer import Peer, Refused

_METHOD = 6


class WebP(Peer):
    """Lossy WebP at a quality, its slowest method; uint8, grey images as RGB of equal channels."""

    name, package, unit = "WebP", "imagecodecs", "quality"
    sweep = (0.0, 10.0, 25.0, 45.0, 65.0, 80.0, 90.0, 97.0)

    def __init__(self, *layouts: str) -> None:
        self.layouts = layouts or (MOSAIC,)

    def encode(self, array: Array, setting: float) -> bytes:
        """Code an image; the setting is the quality, 0 to 100."""
        import imagecodecs

        if array.dtype != np.uint8:
            raise Refused(f"takes no {array.dtype}")
        colour = array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=-1)
        return bytes(
            imagecodecs.webp_encode(
                colour, level=setting, lossless=False, method=_METHOD, numthreads=1
            )
        )

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """The image, more or less."""
        import imagecodecs

        found = np.asarray(imagecodecs.webp_decode(encoded, hasalpha=False), dtype)
        return found if len(shape) == 3 else found[..., 1]
