"""Blosc 2: a byte or bit shuffle before Zstandard."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.layouts import Array, Shape
from engine.comparing.peers.peer import LINES, LOSSLESS, Peer


class Blosc2(Peer):
    """Blosc 2 with zstd level 9 behind its bit shuffle; any dtype, any rank."""

    name, package, layouts, unit = "blosc2 bitshuffle zstd-9", "imagecodecs", LINES, LOSSLESS

    def encode(self, array: Array, setting: float) -> bytes:
        """Compress the bytes of any array."""
        import imagecodecs

        return bytes(
            imagecodecs.blosc2_encode(
                array.tobytes(),
                level=9,
                compressor="zstd",
                shuffle="bitshuffle",
                typesize=array.dtype.itemsize,
                numthreads=1,
            )
        )

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Exactly what was coded."""
        import imagecodecs

        found = imagecodecs.blosc2_decode(encoded, numthreads=1)
        return np.frombuffer(found, dtype).reshape(shape)
