"""Encode batches and measure what decoding them will really return, on the codec's device."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.runtime.buffered_networks import BufferedNetworks
from engine.runtime.codec import Codec, batches
from engine.runtime.device_encoding import DeviceEncoder
from engine.runtime.device_kernels import HINT, lacks_kernels
from engine.runtime.error_statistics import error_statistics
from engine.runtime.measured_batch import MeasuredBatch


class MeasuredEncoder(Protocol):
    """Encodes any number of raw samples into room of the caller's; thread-safe.

    `description` says where it runs.
    """

    description: str

    def __call__(self, samples: NDArray[Any], out: MeasuredBatch) -> None:
        """Encode samples `(n, *sample_shape)`, and measure them where `out` has room for that."""


def open_measured_encoder(
    codec: Codec, step: float, *, measured: bool, batch_samples: int | None = None
) -> MeasuredEncoder:
    """The encoder for the device that `codec` is on, ready to run at full speed.

    `measured` says whether there will be room for errors, `batch_samples` how many samples go
    through the networks at once; by default as many as suit the codec.
    """
    encoder: MeasuredEncoder
    if codec.device == "cpu" or lacks_kernels(codec.device):
        encoder = HostEncoder(codec, step, batch_samples)
    else:
        encoder = DeviceEncoder(codec, step, batch_samples, measured=measured)
    one = np.zeros((1, *codec.sample_shape), codec.dtype)  # compiles and loads what it needs
    encoder(one, MeasuredBatch.empty(1, codec.manifest.latent, measured=measured))
    return encoder


class HostEncoder:
    """The calling thread runs both networks and the comparison, so callers add up to the cores.

    The networks may be on a GPU: then what they take and return is copied each time.
    """

    def __init__(self, codec: Codec, step: float, batch_samples: int | None = None) -> None:
        """Run the sessions of `codec`, at most `batch_samples` at once.

        Raises:
            InvalidInput: an unusable `step`.
        """
        self._networks = BufferedNetworks(codec, step, batch_samples or codec.batch_samples)
        on_gpu = f"{codec.device}, error statistics on the host ({HINT})"
        self.description = "cpu" if codec.device == "cpu" else on_gpu

    def __call__(self, samples: NDArray[Any], out: MeasuredBatch) -> None:
        """Encode, and where `out` has room for errors decode again and compare."""
        for start, stop in batches(len(samples), self._networks.batch_samples):
            self._measure(samples[start:stop], out[start:stop])

    def _measure(self, samples: NDArray[Any], out: MeasuredBatch) -> None:
        latents = self._networks.encode(samples)
        out.latents[...] = latents
        if out.errors is not None:
            decoded = self._networks.decode(latents)
            error_statistics(decoded, samples.reshape(len(samples), -1), *out.errors)
