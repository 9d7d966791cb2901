"""The networks over the samples of a shard with a guarantee, on the host or on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.codec.certificate import Certificate
from engine.runtime.buffered_networks import BufferedNetworks
from engine.runtime.codec import Codec, batches
from engine.runtime.device_kernels import lacks_kernels
from engine.runtime.device_shard import DeviceNetworks
from engine.runtime.quantiser import HostQuantiser, Quantiser


class ShardRun(Protocol):
    """The networks over one shard, any number of samples at a time, on one thread."""

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

    `batch_samples` go through the networks at once; by default as many as suit the codec.
    Sessions that are opened besides those of `codec` must decode as the `certificate` says.
    """
    if codec.device == "cpu" or lacks_kernels(codec.device):
        return HostShards(codec, step, batch_samples)
    return DeviceNetworks(codec, step, batch_samples, certificate)


class HostShards:
    """Shards in memory of the host; the networks may be on a GPU."""

    def __init__(self, codec: Codec, step: float, batch_samples: int | None = None) -> None:
        """Run the sessions of `codec`, at most `batch_samples` at once.

        Raises:
            InvalidInput: an unusable `step`.
        """
        self._codec = codec
        self._networks = BufferedNetworks(codec, step, batch_samples or codec.batch_samples)

    def start(self, count: int, *, reconstructs: bool) -> ShardRun:
        """See `ShardNetworks`."""
        latent, sample = self._codec.manifest.latent, self._codec.manifest.sample
        latents = np.empty((count, *latent.shape), latent.dtype)
        decoded = None
        if reconstructs:
            decoded = np.empty((count, math.prod(sample.shape)), sample.working_dtype)
        return _HostRun(self._networks, latents, decoded)


@dataclass(frozen=True)
class _HostRun:
    networks: BufferedNetworks
    latents: NDArray[Any]
    decoded: NDArray[Any] | None

    def __call__(self, rows: slice, samples: NDArray[Any], filled: NDArray[Any]) -> None:
        for start, stop in batches(len(filled), self.networks.batch_samples):
            place = slice(rows.start + start, rows.start + stop)
            latents = self.networks.encode(filled[start:stop])
            self.latents[place] = latents
            if self.decoded is not None:
                self.decoded[place] = self.networks.decode(latents)

    def quantiser(self, samples: NDArray[Any], verbatim: NDArray[np.bool_] | None) -> Quantiser:
        return HostQuantiser(samples, verbatim, self.decoded)
