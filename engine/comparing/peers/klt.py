"""The linear baseline: Karhunen-Loeve transform, one uniform step, ideal entropy coding.

Its payload is the sum of the empirical entropies of the held-out integers, which no coder of
independent channels undercuts; it is computed, not written. Basis and mean count as decoder.
"""

from __future__ import annotations

import functools
import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.comparing.array_method import pack_mean
from engine.comparing.held_out import HeldOut
from engine.comparing.method import INDEX_BYTES, Coded, Method, Setting
from engine.comparing.peers.peer import Refused, from_floats

MAX_DIMENSIONS = 4096
_STEP_FRACTIONS = (2.0, 1.4, 1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.06, 0.03)
_RARELY = 0.01  # a channel that so few samples use doesn't pay for its direction
_BASIS = np.dtype(np.float16)


@dataclass(frozen=True, eq=False)
class _Basis:
    """Directions `(kept, elements)` of unit length, and the training samples along them."""

    directions: NDArray[np.float32]
    trained: NDArray[np.float32]


class Klt(Method):
    """Principal directions of the training samples, those kept that more than a few of them use."""

    name, package, identity = "KLT", "numpy", "KLT"

    def settings(self, data: HeldOut) -> tuple[Setting, ...]:
        """Steps, as fractions of the training samples' range."""
        if min(len(data.train), math.prod(data.sample_shape)) > MAX_DIMENSIONS:
            return ()
        return tuple(Setting("step", part * data.value_range) for part in _STEP_FRACTIONS)

    def code(self, data: HeldOut, setting: Setting) -> Coded:
        """Transform, quantise, and transform back."""
        if not (np.isfinite(data.train).all() and np.isfinite(data.test).all()):
            raise Refused("takes finite values only")
        if setting.value <= 0:
            raise Refused("the samples are all alike")
        basis = _basis(data)
        used = (np.rint(basis.trained / setting.value) != 0).mean(axis=0) > _RARELY
        directions = basis.directions[used].astype(_BASIS).astype(np.float32)
        mean = data.mean.reshape(-1)
        began = time.perf_counter()
        rows = data.test.reshape(len(data.test), -1).astype(np.float32) - mean
        levels = np.rint(rows @ directions.T / setting.value)
        encoded_at = time.perf_counter()
        restored = levels @ directions * np.float32(setting.value) + mean
        decoded = from_floats(restored.reshape(data.test.shape), data.test.dtype)
        ended = time.perf_counter()
        bits = sum(map(_entropy_bits, levels.T))
        return Coded(
            decoded,
            "mean removed",
            payload_bytes=math.ceil(bits / 8) + INDEX_BYTES * len(data.chunks),
            decoder_bytes=directions.size * _BASIS.itemsize + len(pack_mean(data)),
            encode_s=encoded_at - began,
            decode_s=ended - encoded_at,
            is_estimate=True,
        )


@functools.lru_cache(maxsize=1)
def _basis(data: HeldOut) -> _Basis:
    rows: NDArray[np.float32] = data.train.reshape(len(data.train), -1).astype(np.float32)
    rows -= data.mean.reshape(-1)
    n, elements = rows.shape
    gram = (rows.T @ rows if elements <= n else rows @ rows.T).astype(np.float64)
    energies, vectors = np.linalg.eigh(gram)
    order = np.argsort(-energies)[: np.count_nonzero(energies > energies[-1] * 1e-12)]
    if elements > n:
        vectors = rows.T @ vectors[:, order] / np.sqrt(energies[order])
    else:
        vectors = vectors[:, order]
    directions: NDArray[np.float32] = np.ascontiguousarray(vectors.T).astype(np.float32)
    return _Basis(directions, rows @ directions.T)


def _entropy_bits(levels: NDArray[np.float32]) -> float:
    counts = np.unique(levels, return_counts=True)[1]
    return float(-(counts * np.log2(counts / len(levels))).sum())
