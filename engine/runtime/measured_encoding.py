"""Encode batches and measure what decoding them will really return, on the codec's device."""

from __future__ import annotations

import threading
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.runtime.codec import Codec
from engine.runtime.device_encoding import DeviceEncoder
from engine.runtime.device_kernels import HINT, lacks_kernels
from engine.runtime.error_statistics import error_statistics
from engine.runtime.measured_batch import MeasuredBatch


class MeasuredEncoder(Protocol):
    """Encodes raw samples into a batch of the caller's; thread-safe.

    `description` says where it runs.
    """

    description: str

    def __call__(self, samples: NDArray[Any], out: MeasuredBatch) -> None:
        """Encode samples `(n, *sample_shape)`, and measure them where `out` has room for that."""


def open_measured_encoder(
    codec: Codec, step: float, *, measured: bool, batch_samples: int | None = None
) -> MeasuredEncoder:
    """The encoder for the device that `codec` is on, ready to run at full speed.

    `measured` says whether batches will have room for errors, `batch_samples` how many samples most
    of them will have; by default as many as suit the codec.
    """
    encoder: MeasuredEncoder
    if codec.device == "cpu" or lacks_kernels(codec.device):
        encoder = HostEncoder(codec, step)
    else:
        encoder = DeviceEncoder(codec, step, batch_samples, measured=measured)
    one = np.zeros((1, *codec.sample_shape), codec.dtype)  # compiles and loads what it needs
    encoder(one, MeasuredBatch.empty(1, codec.manifest.latent, measured=measured))
    return encoder


class HostEncoder:
    """The calling thread runs both networks and the comparison, so callers add up to the cores.

    The networks may be on a GPU: then what they take and return is copied each time.
    """

    def __init__(self, codec: Codec, step: float) -> None:
        """Run the sessions of `codec`."""
        self._codec = codec
        self._step = np.array([step], np.float32)
        self._local = threading.local()
        on_gpu = f"{codec.device}, error statistics on the host ({HINT})"
        self.description = "cpu" if codec.device == "cpu" else on_gpu

    def __call__(self, samples: NDArray[Any], out: MeasuredBatch) -> None:
        """Encode, and where `out` has room for errors decode again and compare."""
        lane = self._lane()
        lane.encode(samples, out.latents)
        if out.errors is not None:
            reconstruction = lane.reconstruct(out.latents)
            flat = (len(samples), -1)
            error_statistics(reconstruction.reshape(flat), samples.reshape(flat), *out.errors)

    def _lane(self) -> _Lane:
        """What belongs to the calling thread."""
        if not hasattr(self._local, "lane"):
            self._local.lane = _Lane(self._codec, self._step)
        lane: _Lane = self._local.lane
        return lane


class _Lane:
    """The networks bound to one thread, and the reconstruction that every batch reuses."""

    def __init__(self, codec: Codec, step: NDArray[np.float32]) -> None:
        self.encode = codec.encoder.bind(step)
        self._codec, self._step = codec, step
        self._decode: Any = None
        self._reconstruction = np.empty(
            (0, *codec.sample_shape), codec.manifest.sample.working_dtype
        )

    def reconstruct(self, latents: NDArray[Any]) -> NDArray[Any]:
        """What the decoder makes of a batch, until the next one."""
        if self._decode is None:  # without quality there may be no need of a decoder
            self._decode = self._codec.decoder.bind(self._step)
        if len(self._reconstruction) < len(latents):
            shape = (len(latents), *self._reconstruction.shape[1:])
            self._reconstruction = np.empty(shape, self._reconstruction.dtype)
        reconstruction = self._reconstruction[: len(latents)]
        self._decode(latents, reconstruction)
        return reconstruction
