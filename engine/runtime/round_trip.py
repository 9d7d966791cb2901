"""The error of samples that went through a pair of networks and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_kernels.error_statistics.reference import finish
from engine.runtime.codec import batch_samples, batches
from engine.runtime.encoder_variants import spread
from engine.runtime.session import Network

_SAMPLES, _ELEMENTS = 1024, 1 << 21
_STEP = np.ones(1, np.float32)


def measured_samples(shape: tuple[int, ...]) -> int:
    """How many samples of a shape are enough: at most 1024, or two million elements."""
    return max(1, min(_SAMPLES, _ELEMENTS // math.prod(shape)))


class RoundTrip:
    """Mean squared errors of some samples, in physical units, under networks like a given pair.

    `own` is the pair's.
    """

    def __init__(self, encoder: bytes, decoder: bytes, samples: NDArray[Any]) -> None:
        """Encode so many of raw `samples` `(n, *shape)` as `measured_samples` says."""
        self._samples = spread(samples, measured_samples(samples.shape[1:]))
        self.batch_samples = batch_samples(samples.shape[1:])
        self._decoder = decoder
        self._latents = self._run(encoder, self._samples)
        self.own = self.of_decoder(decoder)

    def of_encoder(self, encoder: bytes) -> float:
        """With another encoder, of finished samples."""
        return self._error(self._decoder, self._run(encoder, self._samples))

    def of_decoder(self, decoder: bytes) -> float:
        """With another decoder, of finished samples."""
        return self._error(decoder, self._latents)

    def _run(self, network: bytes, values: NDArray[Any]) -> NDArray[Any]:
        session = Network(network, "cpu")
        parts = batches(len(values), self.batch_samples)
        return np.concatenate([session(values[start:stop], _STEP) for start, stop in parts])

    def _error(self, decoder: bytes, latents: NDArray[Any]) -> float:
        decoded = finish(self._run(decoder, latents), self._samples.dtype)
        with np.errstate(over="ignore"):
            error = np.subtract(decoded, self._samples, dtype=np.float64)
            return float(np.square(error).mean())


def loss_db(error: float, exact: float) -> float:
    """How much lower the PSNR is with one mean squared error than with another."""
    if not (error and exact):
        return math.inf if error else 0.0
    return 10 * math.log10(error / exact)
