"""A shard in memory of the device: its samples go up once, and residuals come down.

What each element needs - its sample, what the decoder returned, the residual, whether it is patched
- stays there from the encoder to the last attempt at a step.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.codec.certificate import Certificate
from engine.codec.files import DECODER, ENCODER
from engine.runtime.codec import Codec, batches
from engine.runtime.device_kernels import Kernels
from engine.runtime.drift import certify
from engine.runtime.network_lane import (
    LaneDecoder,
    LanePool,
    NetworkLane,
    device_failures_named,
    open_captured_lane,
)
from engine.runtime.quantiser import Bounds, HostQuantiser, Quantised, Quantiser

if TYPE_CHECKING:
    from cuda_kernels.lane import Lane, Tensor

_FLOAT64, _UINT8 = np.dtype(np.float64), np.dtype(np.uint8)


class DeviceNetworks:
    """Runs the networks of a codec over shards in its device's memory; threads share it."""

    def __init__(
        self,
        codec: Codec,
        step: float,
        batch_samples: int | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        """Run at most `batch_samples` at once, by default as many as suit the codec.

        Every decoder that is opened must decode as the `certificate` says, if there is one.
        """
        from cuda_kernels.lane import Lane

        self._codec, self._certificate = codec, certificate
        self._open_lane = functools.partial(
            open_captured_lane, codec, step, batch_samples or codec.batch_samples
        )
        self._encoding = LanePool(lambda: self._open_lane((ENCODER,)))
        self._measuring = LanePool(self._certified_lane)
        self._quantising = LanePool(lambda: Lane(codec.device))

    def start(self, count: int, *, reconstructs: bool) -> DeviceRows:
        """Begin a shard of `count` samples; `reconstructs` is whether latents are decoded, too.

        Raises:
            DeviceUnavailable: the device has too little memory, or fails.
            GuaranteeViolated: it doesn't decode as the certificate says.
        """
        lanes = self._measuring if reconstructs else self._encoding
        return DeviceRows(self._codec, lanes.mine(), self._quantising, count, reconstructs)

    def _certified_lane(self) -> NetworkLane:
        lane = self._open_lane((ENCODER, DECODER))
        if self._certificate is not None:
            certify(LaneDecoder(self._codec, lane), self._certificate, "writing")
        return lane


class DeviceRows:
    """The rows of one shard, and the lane that fills them; belongs to one thread."""

    def __init__(
        self,
        codec: Codec,
        networks: NetworkLane,
        quantising: LanePool[Lane],
        count: int,
        reconstructs: bool,
    ) -> None:
        """Take memory for `count` samples."""
        self._networks, self._quantising, self._reconstructs = networks, quantising, reconstructs
        latent, sample = codec.manifest.latent, codec.manifest.sample
        self.latents: NDArray[Any] = np.empty((count, *latent.shape), latent.dtype)
        rows = count if reconstructs else 0
        flat = networks.reconstruction.shape[1]
        with device_failures_named(), networks.queue as queue:
            self._samples = queue.empty((rows, flat), sample.dtype)
            self._decoded = queue.empty((rows, flat), sample.working_dtype)

    def __call__(self, rows: slice, samples: NDArray[Any], filled: NDArray[Any]) -> None:
        """Run the networks over the `rows` of the shard, see `engine.runtime.shard_networks`.

        Raises:
            DeviceUnavailable: the device fails.
        """
        with device_failures_named():
            for start, stop in batches(len(samples), self._networks.batch_samples):
                place = slice(rows.start + start, rows.start + stop)
                raw = None if filled is samples else samples[start:stop]
                self._run(place, filled[start:stop], raw)

    def _run(self, rows: slice, filled: NDArray[Any], raw: NDArray[Any] | None) -> None:
        """One batch; without `raw` samples they are what is `filled`, and there already."""
        networks, count = self._networks, len(filled)
        with networks.queue as queue:
            networks.encode(filled)
            latents = networks.latents.download(count)
            if self._reconstructs:
                networks.decode(count)
                self._decoded[rows].copy_(networks.reconstruction[:count])
                samples = networks.samples.device[:count] if raw is None else queue.upload(raw)
                self._samples[rows].copy_(samples.view(count, -1))
        self.latents[rows] = latents

    def quantiser(self, samples: NDArray[Any], verbatim: NDArray[np.bool_] | None) -> Quantiser:
        """Takes residuals of all samples: on the device, if they are there with what they became.

        Raises:
            DeviceUnavailable: the device has too little memory, or fails.
        """
        if not self._reconstructs:
            return HostQuantiser(samples, verbatim, None)
        kernels = self._networks.kernels
        return DeviceQuantiser(self._quantising, kernels, self._samples, self._decoded, verbatim)


class DeviceQuantiser:
    """Chooses residuals on the device; any thread may call it, one at a time."""

    def __init__(
        self,
        lanes: LanePool[Lane],
        kernels: Kernels,
        samples: Tensor,
        reconstruction: Tensor,
        verbatim: NDArray[np.bool_] | None,
    ) -> None:
        """Hold samples and reconstruction `(n, elements)`, which lie there."""
        self._lanes, self._kernels = lanes, kernels
        self._samples, self._reconstruction, self._verbatim = samples, reconstruction, None
        if verbatim is not None:
            with device_failures_named(), lanes.mine() as queue:
                flat = verbatim.reshape(len(verbatim), -1).view(np.uint8)
                self._verbatim = queue.upload(flat)

    def __call__(
        self,
        base: float | None,
        bounds: Bounds,
        dtype: np.dtype[Any],
        rows: NDArray[np.bool_] | None = None,
    ) -> Quantised:
        """See `engine.runtime.quantiser.Quantiser`."""
        with device_failures_named():
            with self._lanes.mine() as queue:
                found = self._quantised(queue, base, bounds, dtype)
                if rows is not None:  # all are chosen there, since few bytes matter more than work
                    index = queue.upload(np.flatnonzero(rows))
                    found = [values.index_select(0, index) for values in found]
                residuals, patched, *errors = found
                arrays = [queue.download(values) for values in (residuals, *errors)]
                anything = queue.download(patched.any().view(1))
            mask = np.zeros(residuals.shape, np.uint8)  # pages that nobody writes take no memory
            if anything[0]:
                with self._lanes.mine() as queue:
                    mask = queue.download(patched)
        return Quantised(arrays[0], mask, *arrays[1:])

    def _quantised(
        self, queue: Lane, base: float | None, bounds: Bounds, dtype: np.dtype[Any]
    ) -> list[Tensor]:
        """Residuals, mask and three errors of all samples, queued."""
        shape = tuple(self._samples.shape)
        errors = [queue.empty(shape[:1], _FLOAT64) for _ in range(3)]
        found = [queue.empty(shape, dtype), queue.empty(shape, _UINT8), *errors]
        self._kernels.quantise(
            self._reconstruction if base is None else queue.upload(np.full((1, 1), base)),
            self._samples,
            self._verbatim,
            bounds.step,
            bounds.tolerance,
            bounds.max_error,
            *found,
        )
        return found
