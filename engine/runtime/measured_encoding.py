"""Encode a batch and measure what decoding it will really return, on the codec's device."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.runtime.bound_encoding import BoundEncoder
from engine.runtime.codec import Codec
from engine.runtime.error_statistics import error_statistics
from engine.runtime.measured_batch import MeasuredBatch


class MeasuredEncoder(Protocol):
    """Encodes raw samples `(n, *sample_shape)`; thread-safe. `description` says where it runs."""

    description: str

    def __call__(self, samples: NDArray[Any]) -> MeasuredBatch:
        """Encode, decode again and compare with what a reader will return."""


def open_measured_encoder(codec: Codec, step: float) -> MeasuredEncoder:
    """The measured encoder for the device that `codec` is on, ready to run at full speed."""
    encoder = (BoundEncoder if codec.device == "cuda" else HostEncoder)(codec, step)
    encoder(np.zeros((1, *codec.sample_shape), codec.dtype))  # compiles and loads what it needs
    return encoder


class HostEncoder:
    """One calling thread runs both networks and the comparison, so callers add up to the cores."""

    description = "cpu"

    def __init__(self, codec: Codec, step: float) -> None:
        """Open one-thread sessions of `codec` on the CPU."""
        single = codec.on("cpu", threads=1)
        self._encoder, self._decoder = single.encoder, single.decoder
        self._step = np.array([step], np.float32)

    def __call__(self, samples: NDArray[Any]) -> MeasuredBatch:
        """Encode, decode again and compare."""
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
