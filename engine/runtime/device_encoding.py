"""Encode and measure where the networks run: samples go up, only latents and quality come down.

Everything in between stays in the device's memory: the latents that the encoder writes are what
the decoder reads, and what that returns is compared there with the raw samples.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.codec.files import DECODER, ENCODER
from engine.runtime.codec import Codec, batches
from engine.runtime.measured_batch import MeasuredBatch
from engine.runtime.network_lane import (
    LanePool,
    NetworkLane,
    device_failures_named,
    open_captured_lane,
)
from engine.runtime.tensor_layout import choose_layout

_FLOAT64 = np.dtype(np.float64)


class DeviceEncoder:
    """A measured encoder on the codec's device.

    Threads share it, and each has a lane of its own, so that one's copies and work on the host
    overlap what the device computes for another: with two threads that is a double buffer.
    """

    def __init__(
        self, codec: Codec, step: float, batch_samples: int | None = None, *, measured: bool = True
    ) -> None:
        """Encode at most `batch_samples` at once; `measured` is whether errors may be asked for.

        Raises:
            InvalidInput: an unusable `step`.
            DeviceUnavailable: the device has too little memory, or fails.
        """
        self._batch_samples = batch_samples or codec.batch_samples
        roles = (ENCODER, DECODER) if measured else (ENCODER,)
        open_lane = functools.partial(open_captured_lane, codec, step, self._batch_samples, roles)
        with device_failures_named():
            layout = choose_layout(codec, roles, open_lane)
        self._lanes = LanePool(lambda: _MeasuringLane(open_lane(layout)))
        captured = self._lanes.mine().networks.is_captured
        self.description = (
            f"{codec.device}, batches of {self._batch_samples}, "
            f"{'CUDA graphs' if captured else 'no CUDA graphs'}, "
            f"{'channels last, ' if layout.nhwc else ''}error statistics on the device"
        )

    def __call__(self, samples: NDArray[Any], out: MeasuredBatch) -> None:
        """Encode, and where `out` has room for errors decode again and compare on the device.

        Raises:
            DeviceUnavailable: the device fails.
        """
        lane = self._lanes.mine()
        with device_failures_named():
            for start, stop in batches(len(samples), self._batch_samples):
                lane.measure(samples[start:stop], out[start:stop])


class _MeasuringLane:
    """The networks of one thread, and room for the errors of a batch."""

    def __init__(self, networks: NetworkLane) -> None:
        self.networks, rows = networks, (networks.batch_samples,)
        with networks.queue as queue:
            self._errors = queue.mirror(rows, _FLOAT64), queue.mirror(rows, _FLOAT64)
        self._samples = networks.samples.device.view(networks.batch_samples, -1)

    def measure(self, samples: NDArray[Any], out: MeasuredBatch) -> None:
        """Fill `out` with what `samples`, a batch at most, lead to."""
        count, networks = len(samples), self.networks
        with networks.queue:
            networks.encode(samples)
            latents = networks.latents.download(count)
            errors = () if out.errors is None else self._measure(count)
        np.copyto(out.latents, latents)
        for room, values in zip(out.errors or (), errors, strict=True):
            np.copyto(room, values)

    def _measure(self, count: int) -> tuple[NDArray[Any], ...]:
        networks = self.networks
        networks.decode(count)
        networks.kernels.error_statistics(
            networks.reconstruction[:count],
            self._samples[:count],
            *(mirror.device[:count] for mirror in self._errors),
        )
        return tuple(mirror.download(count) for mirror in self._errors)
