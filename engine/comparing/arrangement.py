"""How a chunk of samples is put before a peer: laid out, and its mean field removed or not."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.comparing.layouts import MOSAIC, SINGLE, Array, Shape, allows, lay, unlay
from engine.comparing.peers.peer import MAX_ERROR, Peer, Refused, from_floats


@dataclass(frozen=True, eq=False)
class Arrangement:
    """A layout, and the mean field `sample_shape` that is taken off before, if any."""

    layout: str
    mean: NDArray[np.float32] | None

    def __str__(self) -> str:
        return self.layout if self.mean is None else f"{self.layout}, mean removed"

    def encode(self, peer: Peer, chunk: Array, setting: float) -> bytes:
        """Code a chunk; of single samples, each one's length goes before."""
        values = chunk if self.mean is None else _without_mean(chunk, self.mean, peer)
        if self.mean is not None and peer.unit == MAX_ERROR:
            setting = _tolerance(chunk, self.mean, setting)
        if self.layout != SINGLE:
            return peer.encode(lay(values, self.layout), setting)
        parts = [peer.encode(lay(row[None], MOSAIC), setting) for row in values]
        return struct.pack(f"<{len(parts)}I", *map(len, parts)) + b"".join(parts)

    def decode(self, peer: Peer, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """The samples `shape` of a chunk, as near as the peer kept them."""
        coded = dtype if self.mean is None or peer.lossless else _float_dtype(dtype)
        if self.layout == SINGLE:
            parts = _split(encoded, shape[0])
            rows = [_decode(peer, part, MOSAIC, (1, *shape[1:]), coded) for part in parts]
            values = np.concatenate(rows)
        else:
            values = _decode(peer, encoded, self.layout, shape, coded)
        return values if self.mean is None else _with_mean(values, self.mean, peer, dtype)


def arrangements(peer: Peer, mean: NDArray[np.float32], dtype: np.dtype[Any]) -> list[Arrangement]:
    """All that a peer may try on samples of this shape and dtype.

    The mean is offered where taking it off can be undone: to bounded peers, which then code floats,
    and to lossless ones of integers, which wrap around. Lossy image codecs see the image itself.
    """
    layouts = [layout for layout in peer.layouts if allows(layout, mean.shape)]
    undone = peer.unit == MAX_ERROR or (peer.lossless and dtype.kind in "iu")
    means = (None, mean) if undone and np.isfinite(mean).all() else (None,)
    return [Arrangement(layout, removed) for layout in layouts for removed in means]


def _decode(peer: Peer, encoded: bytes, layout: str, shape: Shape, dtype: np.dtype[Any]) -> Array:
    laid_shape = lay(np.broadcast_to(np.zeros((), dtype), shape), layout).shape
    return unlay(peer.decode(encoded, laid_shape, dtype), layout, shape)


def _split(encoded: bytes, count: int) -> Iterator[bytes]:
    at = 4 * count
    for size in struct.unpack(f"<{count}I", encoded[:at]):
        yield encoded[at : at + size]
        at += size


def _without_mean(chunk: Array, mean: Array, peer: Peer) -> Array:
    if peer.lossless:
        with np.errstate(over="ignore"):
            return chunk - from_floats(mean, chunk.dtype)
    return (chunk.astype(np.float64) - mean).astype(_float_dtype(chunk.dtype))


def _with_mean(values: Array, mean: Array, peer: Peer, dtype: np.dtype[Any]) -> Array:
    if peer.lossless:
        with np.errstate(over="ignore"):
            return values + from_floats(mean, dtype)
    return from_floats(values.astype(np.float64) + mean, dtype)


def _float_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    wide = dtype.itemsize > 4 or (dtype.kind in "iu" and dtype.itemsize > 2)
    return np.dtype(np.float64 if wide else np.float32)


def _tolerance(chunk: Array, mean: Array, bound: float) -> float:
    """What a coder of floats may err by, so that rounding back to the dtype keeps the bound."""
    if chunk.dtype.kind in "iu":
        return float(np.floor(bound) + 0.499)
    largest = max(float(np.abs(chunk).max()), float(np.abs(mean).max()))
    tolerance = bound - 2 * float(np.spacing(chunk.dtype.type(largest)))
    if not tolerance > 0:
        raise Refused("bound below the dtype's precision")
    return tolerance
