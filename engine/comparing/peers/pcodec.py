"""Pcodec: integers and floats by their numeric structure."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.layouts import Array, Shape
from engine.comparing.peers.peer import LINES, LOSSLESS, Peer


class Pcodec(Peer):
    """Pcodec at its default level; one dimension of integers or floats."""

    name, package, layouts, unit = "pcodec", "pcodec", LINES, LOSSLESS

    def encode(self, array: Array, setting: float) -> bytes:
        """Compress numbers of any rank as one line."""
        from pcodec import ChunkConfig, standalone

        config = ChunkConfig(enable_8_bit=True)
        return bytes(standalone.simple_compress(array.reshape(-1), config))

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Exactly what was coded."""
        from pcodec import standalone

        return np.asarray(standalone.simple_decompress(encoded), dtype).reshape(shape)
