"""Codecs of others at a given PSNR: each at the coarsest setting that reaches it.

A peer codes chunks of as many samples as the store's. SZ3 and ZFP see a volume `(n, height, width)`
and quantise nothing below whole grey levels; JPEG XL sees a mosaic, and is the only one of them
made for images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.comparing.layouts import VOLUME, lay, unlay
from engine.comparing.peers.jpeg_xl import JpegXl
from engine.comparing.peers.peer import Peer
from engine.comparing.peers.sz3 import Sz3
from engine.comparing.peers.zfp import Zfp

_STEPS = 10
_FINEST, _COARSEST = 0.1, {"JPEG XL": 25.0}  # of others, coarser than anyone asks for
_PEAK = 255.0

PEERS: tuple[Peer, ...] = (Sz3(VOLUME), Zfp(VOLUME), JpegXl())


@dataclass(frozen=True)
class TunedPeer:
    """A peer at a setting, and what that gives: PSNR in dB and bytes a sample."""

    peer: Peer
    setting: float
    psnr_db: float
    sample_bytes: float

    def encode(self, chunk: NDArray[Any]) -> bytes:
        """Code one chunk of samples."""
        return self.peer.encode(lay(chunk, self.peer.layouts[0]), self.setting)


def tune(peer: Peer, chunks: list[NDArray[Any]], psnr_db: float) -> TunedPeer:
    """The coarsest setting that reaches `psnr_db`, by bisection; if need be the finest one."""
    low, high = _FINEST, _COARSEST.get(peer.name, 10_000.0)
    best = _at(peer, chunks, high)
    if best.psnr_db >= psnr_db:
        return best
    best = _at(peer, chunks, low)
    for _ in range(_STEPS):
        middle = (low * high) ** 0.5
        tried = _at(peer, chunks, middle)
        if tried.psnr_db >= psnr_db:
            low, best = middle, tried
        else:
            high = middle
    return best


def _at(peer: Peer, chunks: list[NDArray[Any]], setting: float) -> TunedPeer:
    size_bytes, squared, samples = 0, 0.0, sum(map(len, chunks))
    for chunk in chunks:
        array = lay(chunk, peer.layouts[0])
        encoded = peer.encode(array, setting)
        decoded = unlay(
            peer.decode(encoded, array.shape, array.dtype), peer.layouts[0], chunk.shape
        )
        squared += float(np.square(decoded.astype(np.float64) - chunk).sum())
        size_bytes += len(encoded)
    mse = squared / (samples * chunks[0][0].size)
    psnr_db = 10 * np.log10(_PEAK**2 / mse) if mse else np.inf
    return TunedPeer(peer, setting, float(psnr_db), size_bytes / samples)
