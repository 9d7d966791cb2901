"""Missing elements kept apart, so that a peer sees none."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.comparing.layouts import Array, Shape
from engine.comparing.peers.peer import Peer
from engine.comparing.peers.zstd import Zstd


class Masked(Peer):
    """Another peer, whose masked elements are kept apart as bits and filled with the mean."""

    def __init__(self, peer: Peer, fill_value: float) -> None:
        self.name, self._peer, self._fill_value = f"{peer.name}, mask apart", peer, fill_value
        self.package, self.layouts, self.unit = peer.package, peer.layouts, peer.unit

    def encode(self, array: Array, setting: float) -> bytes:
        """Code the elements that aren't `fill_value` as the peer does."""
        masked = is_masked(array, self._fill_value)
        mean = 0 if masked.all() else array[~masked].mean(dtype=np.float64)
        bits = Zstd(19).encode(np.packbits(masked), 0)
        filled = np.where(masked, array.dtype.type(mean), array)
        return struct.pack("<I", len(bits)) + bits + self._peer.encode(filled, setting)

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Masked elements exactly, the others as near as the peer kept them."""
        (size,) = struct.unpack("<I", encoded[:4])
        packed = Zstd(19).decode(encoded[4 : 4 + size], (-1,), np.dtype(np.uint8))
        values = self._peer.decode(encoded[4 + size :], shape, dtype)
        masked = np.unpackbits(packed, count=values.size).reshape(shape).astype(bool)
        return np.where(masked, dtype.type(self._fill_value), values)


def is_masked(array: Array, fill_value: float) -> NDArray[np.bool_]:
    """Where an array holds `fill_value`, which may be NaN."""
    return np.isnan(array) if np.isnan(fill_value) else array == fill_value
