"""Zstandard over the raw bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.layouts import Array, Shape
from engine.comparing.peers.peer import LINES, LOSSLESS, Peer


class Zstd(Peer):
    """Zstandard; any dtype, any rank."""

    package, layouts, unit = "numcodecs", LINES, LOSSLESS

    def __init__(self, level: int) -> None:
        self.name, self._level = f"zstd-{level}", level

    def encode(self, array: Array, setting: float) -> bytes:
        """Compress the bytes of any array."""
        from numcodecs import zstd

        return bytes(zstd.compress(array, self._level))

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Exactly what was coded."""
        from numcodecs import zstd

        return np.frombuffer(zstd.decompress(encoded), dtype).reshape(shape)
