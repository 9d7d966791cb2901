"""The networks over the samples of a shard with a guarantee, on the host or on the device."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.codec.certificate import Certificate
from engine.runtime.codec import Codec
from engine.runtime.device_kernels import lacks_kernels
from engine.runtime.device_shard import DeviceNetworks
from engine.runtime.quantiser import HostQuantiser, Quantiser


class ShardRun(Protocol):
    """The networks over one shard, batch by batch, on one thread."""

    def __call__(self, rows: slice, samples: NDArray[Any], filled: NDArray[Any]) -> None:
        """Run them over samples `(n, *sample_shape)`, the `rows` of the shard.

        `filled` are the same, with something ordinary in place of what no network understands.
        """

    @property
    def latents(self) -> NDArray[Any]:
        """Those of all rows `(count, *latent_shape)`."""

    def quantiser(self, samples: NDArray[Any], verbatim: NDArray[np.bool_] | None) -> Quantiser:
        """Takes residuals of all samples; `verbatim` marks elements to patch."""


class ShardNetworks(Protocol):
    """Runs networks over shards; threads share it."""

    def start(self, count: int, *, reconstructs: bool) -> ShardRun:
        """Begin a shard of `count` samples; `reconstructs` is whether latents are decoded, too."""


def open_shard_networks(
    codec: Codec,
    step: float,
    batch_samples: int | None = None,
    certificate: Certificate | None = None,
) -> ShardNetworks:
    """The networks of `codec` at one step, on its device; opened when first needed.

    `batch_samples` are how many samples most batches have; by default as many as suit the codec.
    Sessions that are opened besides those of `codec` must decode as the `certificate` says.
    """
    if codec.device == "cpu" or lacks_kernels(codec.device):
        return HostNetworks(codec, step)
    return DeviceNetworks(codec, step, batch_samples, certificate)


class HostNetworks:
    """Shards in memory of the host; the networks may be on a GPU."""

    def __init__(self, codec: Codec, step: float) -> None:
        """Run the sessions of `codec`."""
        self._codec, self._step = codec, step

    def start(self, count: int, *, reconstructs: bool) -> ShardRun:
        """See `ShardNetworks`."""
        return _HostRun(self._codec, self._step, count, reconstructs)


class _HostRun:
    def __init__(self, codec: Codec, step: float, count: int, reconstructs: bool) -> None:
        self._codec, self._step = codec, step
        latent, sample = codec.manifest.latent, codec.manifest.sample
        self.latents: NDArray[Any] = np.empty((count, *latent.shape), latent.dtype)
        self._decoded: NDArray[Any] | None = None
        if reconstructs:
            self._decoded = np.empty((count, *sample.shape), sample.working_dtype)

    def __call__(self, rows: slice, samples: NDArray[Any], filled: NDArray[Any]) -> None:
        self.latents[rows] = self._codec.encode(filled, self._step)
        if self._decoded is not None:
            self._decoded[rows] = self._codec.reconstruct(self.latents[rows], self._step)

    def quantiser(self, samples: NDArray[Any], verbatim: NDArray[np.bool_] | None) -> Quantiser:
        return HostQuantiser(samples, verbatim, self._decoded)
