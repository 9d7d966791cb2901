"""Blosc: a bit shuffle before Zstandard."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.layouts import Array, Shape
from engine.comparing.peers.peer import LINES, LOSSLESS, Peer


class Blosc(Peer):
    """Blosc with zstd level 5 behind its bit shuffle; any dtype, any rank."""

    name, package, layouts, unit = "blosc bitshuffle zstd-5", "numcodecs", LINES, LOSSLESS

    def encode(self, array: Array, setting: float) -> bytes:
        """Compress the bytes of any array."""
        from numcodecs import blosc

        return bytes(blosc.compress(array, b"zstd", 5, blosc.BITSHUFFLE))

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Exactly what was coded."""
        from numcodecs import blosc

        return np.frombuffer(blosc.decompress(encoded), dtype).reshape(shape)
