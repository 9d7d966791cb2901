"""Codecs of arrays in a comparison, each in the arrangement that is smallest on other data."""

from __future__ import annotations

import time
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from engine.comparing.arrangement import Arrangement, arrangements
from engine.comparing.method import INDEX_BYTES, Coded, Method, Setting, bounds
from engine.comparing.peers.peer import LOSSLESS, MAX_ERROR, Peer, Refused
from engine.comparing.peers.zstd import Zstd
from engine.comparing.split_samples import SplitSamples
from engine.errors import one_line

_MEAN_LEVEL = 19


class ArrayMethod(Method):
    """A peer that codes chunk after chunk on one thread."""

    def __init__(self, peer: Peer, name: str | None = None) -> None:
        self.peer, self.name = peer, name or peer.name
        self.package = peer.package
        self.identity = f"{self.name} {installed_version(peer.package)}"

    def settings(self, data: SplitSamples) -> tuple[Setting, ...]:
        """The bounds that all share, or the peer's own sweep."""
        if self.peer.unit == LOSSLESS:
            return (Setting(LOSSLESS, 0.0),)
        if self.peer.unit == MAX_ERROR:
            return bounds(data)
        return tuple(Setting(self.peer.unit, value) for value in self.peer.sweep)

    def code(self, data: SplitSamples, setting: Setting) -> Coded:
        """Encode and decode every test chunk."""
        try:
            chosen = _smallest(self.peer, data, setting.value)
            began = time.perf_counter()
            encoded = [chosen.encode(self.peer, chunk, setting.value) for chunk in data.chunks]
            encoded_at = time.perf_counter()
            decoded = [
                chosen.decode(self.peer, part, chunk.shape, chunk.dtype)
                for part, chunk in zip(encoded, data.chunks, strict=True)
            ]
            ended = time.perf_counter()
        except (Refused, MemoryError):
            raise
        except Exception as error:  # whatever a foreign codec raises of what it can't take
            raise Refused(one_line(error)) from error
        return Coded(
            np.concatenate(decoded),
            str(chosen),
            payload_bytes=sum(map(len, encoded)) + INDEX_BYTES * len(encoded),
            decoder_bytes=0 if chosen.mean is None else len(pack_mean(data)),
            encode_s=encoded_at - began,
            decode_s=ended - encoded_at,
        )


def pack_mean(data: SplitSamples) -> bytes:
    """The mean field as a store would keep it."""
    return Zstd(_MEAN_LEVEL).encode(data.mean, 0)


def installed_version(package: str) -> str:
    """Version of an installed package, "none" where there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _smallest(peer: Peer, data: SplitSamples, setting: float) -> Arrangement:
    """The arrangement with the fewest bytes on one chunk of training samples."""
    sizes: list[tuple[int, Arrangement]] = []
    problem = f"takes no samples of shape {data.sample_shape}"
    for arrangement in arrangements(peer, data.mean, data.test.dtype):
        try:
            encoded = arrangement.encode(peer, data.train[: data.chunk_samples], setting)
        except Refused as refusal:
            problem = str(refusal)
            continue
        sizes.append((len(encoded), arrangement))
    if not sizes:
        raise Refused(problem)
    return min(sizes, key=lambda pair: pair[0])[1]
