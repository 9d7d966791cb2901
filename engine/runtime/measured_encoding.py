"""Encode a batch and measure what decoding it will really return, on the codec's device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.runtime.codec import Codec
from engine.runtime.error_statistics import error_statistics


@dataclass(frozen=True)
class MeasuredBatch:
    """Latents `(n, *latent_shape)`, and float64 `(n,)` max abs error and sum of squared errors."""

    latents: NDArray[Any]
    max_abs_error: NDArray[np.float64]
    sum_squared_error: NDArray[np.float64]


class MeasuredEncoder(Protocol):
    """Encodes raw samples `(n, *sample_shape)`; thread-safe."""

    def __call__(self, samples: NDArray[Any]) -> MeasuredBatch:
        """Encode, decode again and compare with what a reader will return."""


def open_measured_encoder(codec: Codec, step: float) -> MeasuredEncoder:
    """The measured encoder for the device that `codec` is on."""
    if codec.device == "cuda":
        from engine.runtime.cuda_encoding import CudaMeasuredEncoder

        return CudaMeasuredEncoder(codec, step)
    return _CpuMeasuredEncoder(codec, step)


class _CpuMeasuredEncoder:
    """One calling thread runs both networks and the comparison, so callers add up to the cores."""

    def __init__(self, codec: Codec, step: float) -> None:
        single = codec.on("cpu", threads=1)
        self._encoder, self._decoder = single.encoder, single.decoder
        self._step = np.array([step], np.float32)

    def __call__(self, samples: NDArray[Any]) -> MeasuredBatch:
        latents = self._encoder(samples, self._step)
        reconstruction = self._decoder(latents, self._step)
        count = len(samples)
        measured = MeasuredBatch(latents, np.empty(count), np.empty(count))
        error_statistics(
            reconstruction.reshape(count, -1),
            samples.reshape(count, -1),
            measured.max_abs_error,
            measured.sum_squared_error,
        )
        return measured
