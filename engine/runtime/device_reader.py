"""Samples in memory of the device from what a store keeps of them: no pixel touches the host."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.codec.certificate import Certificate
from engine.codec.files import DECODER
from engine.errors import DeviceUnavailable
from engine.runtime.codec import Codec, batches
from engine.runtime.device_kernels import HINT, lacks_kernels
from engine.runtime.drift import certify
from engine.runtime.network_lane import LaneDecoder, LanePool, NetworkLane, device_failures_named

if TYPE_CHECKING:
    from cuda_kernels.lane import Tensor


@dataclass(frozen=True)
class StoredRows:
    """What a store keeps of `n` samples that are all kept the same way, on the host.

    `latents` `(n, *latent_shape)` are None where samples are residuals of the constant `base`;
    `residuals` `(n, elements)` and their `steps` float64 `(n,)` where there are none.
    """

    latents: NDArray[Any] | None
    residuals: NDArray[Any] | None = None
    steps: NDArray[np.float64] | None = None
    base: float = 0.0


class DeviceReader:
    """Applies the reader's formula on the device of a codec; threads share it.

    Tensors are torch's, so every library that knows DLPack takes them. They belong to the stream
    that the caller is on, and what a method does to them is done when it returns.
    """

    def __init__(
        self,
        codec: Codec,
        step: float,
        batch_samples: int | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        """Decode at most `batch_samples` at once, by default as many as suit the codec.

        Every decoder that is opened must decode as the `certificate` says, if there is one: each
        method raises GuaranteeViolated where the calling thread is the first to find it doesn't.

        Without CUDA graphs: while one is captured no other thread may use the GPU, and threads of
        the caller's own can't be asked not to.

        Raises:
            DeviceUnavailable: torch or Triton is missing, or sees no GPU.
        """
        if lacks_kernels(codec.device):
            raise DeviceUnavailable(
                f"samples can't be left in memory of {codec.device}: torch or Triton is missing, "
                f"or sees no GPU; {HINT}"
            )
        self._codec, self._step, self._certificate = codec, step, certificate
        self._batch_samples = batch_samples or codec.batch_samples
        self._lanes = LanePool(self._open)

    def empty(self, count: int) -> Tensor:
        """Room for samples `(count, *sample_shape)` in their own dtype.

        Raises:
            DeviceUnavailable: the device has too little memory.
        """
        from cuda_kernels.lane import for_caller

        shape = (count, *self._codec.sample_shape)
        with device_failures_named():
            return for_caller(self._codec.device, shape, self._codec.dtype)

    def decode(self, stored: StoredRows, out: Tensor) -> None:
        """Write the samples `(n, *sample_shape)` that `stored` holds, but for patches.

        Raises:
            DeviceUnavailable: the device fails.
        """
        lane = self._lanes.mine()
        flat = out.view(len(out), math.prod(out.shape[1:]))
        with device_failures_named():
            for start, stop in batches(len(out), lane.batch_samples):
                _decode(lane, stored, slice(start, stop), flat[start:stop])

    def copy(self, samples: NDArray[Any], out: Tensor) -> None:
        """Write samples `(n, *sample_shape)` that are kept as they were.

        Raises:
            DeviceUnavailable: the device fails.
        """
        lane = self._lanes.mine()
        with device_failures_named(), lane.queue as queue:
            out.copy_(queue.upload(samples))

    def patch(self, positions: NDArray[np.int64], values: NDArray[Any], out: Tensor) -> None:
        """Write single elements: `values` `(p,)` at `positions` `(p,)` of all elements of `out`.

        Raises:
            DeviceUnavailable: the device fails.
        """
        from cuda_kernels.lane import as_bits

        lane = self._lanes.mine()
        with device_failures_named(), lane.queue as queue:
            flat = as_bits(out).view(-1)
            flat.index_copy_(0, queue.upload(positions), as_bits(queue.upload(values)))

    def take(self, samples: Tensor, rows: NDArray[np.int64], out: Tensor | None = None) -> Tensor:
        """The samples of these rows, in that order, repeats and all; in `out`, if it is given.

        Raises:
            DeviceUnavailable: the device has too little memory, or fails.
        """
        from cuda_kernels.lane import as_bits

        taken, lane = self.empty(len(rows)) if out is None else out, self._lanes.mine()
        with device_failures_named(), lane.queue as queue:
            chosen = as_bits(samples).index_select(0, queue.upload(rows))
            as_bits(taken).copy_(chosen)
        return taken

    def to_host(self, samples: Tensor) -> NDArray[Any]:
        """A copy on the host.

        Raises:
            DeviceUnavailable: the device fails.
        """
        lane = self._lanes.mine()
        with device_failures_named(), lane.queue as queue:
            copied = queue.download(samples)
        return copied

    def _open(self) -> NetworkLane:
        codec = self._codec
        roles = (DECODER,) if DECODER in codec.roles else ()
        lane = NetworkLane(codec, self._step, self._batch_samples, roles)
        if self._certificate is not None:
            certify(LaneDecoder(codec, lane), self._certificate, "reading")
        return lane


def _decode(lane: NetworkLane, stored: StoredRows, rows: slice, out: Tensor) -> None:
    """Write `rows` of what is stored, a batch at most, to `out` `(n, elements)`."""
    with lane.queue as queue:
        if stored.latents is None:
            decoded = queue.upload(np.full((1, 1), stored.base))
        else:
            lane.latents.upload(stored.latents[rows])
            lane.decode(len(out))
            decoded = lane.reconstruction[: len(out)]
        if stored.residuals is None or stored.steps is None:
            lane.kernels.finish(decoded, out)
        else:
            residuals = queue.upload(stored.residuals[rows])
            lane.kernels.restore(decoded, residuals, queue.upload(stored.steps[rows]), out)
