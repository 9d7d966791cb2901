"""A thread's own way through the networks of a codec: sessions, buffers and a stream of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.codec.files import DECODER, ENCODER
from engine.errors import DeviceUnavailable, one_line
from engine.runtime.codec import Codec, batches, check_step
from engine.runtime.cuda_options import EXACT, CudaOptions
from engine.runtime.device_kernels import kernels_on
from engine.runtime.device_run import DeviceRun
from engine.runtime.session import Network

if TYPE_CHECKING:
    from cuda_kernels.lane import Tensor

Lane = TypeVar("Lane")

_THREADS = 1  # of the host, a run


class NetworkLane:
    """Encodes and decodes batches in memory of the codec's device; belongs to one thread.

    Calls queue their work, and go into a `with lane.queue:` block, at whose end it is done. Two
    threads with a lane each make a double buffer: while one copies, the other computes.

    Attributes:
        queue: the stream.
        kernels: what is computed around the networks.
        step: scale of the quantiser.
        batch_samples: at most so many samples go through at once.
        samples, latents: the batch `(batch_samples, ...)`, on the device and on the host.
        reconstruction: what the decoder returned `(batch_samples, elements)`, on the device.
        is_captured: whether the networks run as CUDA graphs.
    """

    def __init__(
        self,
        codec: Codec,
        step: float,
        batch_samples: int,
        roles: tuple[str, ...],
        cuda: CudaOptions = EXACT,
    ) -> None:
        """Open the networks that `roles` names, and take memory for a batch.

        With `cuda.graph` every run is one of a whole batch, whose last rows may mean nothing. Else
        one is of the next power of two, so that few shapes are met.

        Raises:
            InvalidInput: an unusable `step`.
            DeviceUnavailable: the device has too little memory, or a network can't be captured.
            CorruptCodec: onnxruntime can't load a network.
        """
        from cuda_kernels import lane

        check_step(step)
        self.step, self.batch_samples = step, batch_samples
        self.queue = lane.Lane(codec.device)
        self.kernels = kernels_on(codec.device)
        self._whole = cuda.graph
        self.is_captured = cuda.graph and codec.device == "cuda"
        sample, latent = codec.manifest.sample, codec.manifest.latent
        with device_failures_named(), self.queue as queue:
            self._step = queue.upload(np.array([step], np.float32))
            self.samples = queue.mirror((batch_samples, *sample.shape), sample.dtype)
            self.latents = queue.mirror((batch_samples, *latent.shape), latent.dtype)
            decoded = queue.zeros((batch_samples, *sample.shape), sample.working_dtype)
        self.reconstruction = decoded.view(batch_samples, -1)
        ends = {
            ENCODER: (self.samples.device, self.latents.device),
            DECODER: (self.latents.device, decoded),
        }
        placed = dataclasses.replace(cuda, stream=self.queue.stream)
        with device_failures_named():
            self._runs = {role: self._open(codec, role, placed, *ends[role]) for role in roles}

    def encode(self, samples: NDArray[Any]) -> None:
        """Queue the latents of samples `(n, *sample_shape)`."""
        self.samples.upload(samples)
        self.run(ENCODER, len(samples))

    def decode(self, count: int) -> None:
        """Queue the reconstruction of the first `count` latents that are on the device."""
        self.run(DECODER, count)

    def run(self, role: str, count: int) -> None:
        """Queue a network over the first `count` rows, wherever they came from."""
        whole = self.batch_samples if self._whole else 1 << (count - 1).bit_length()
        self._runs[role](min(whole, self.batch_samples))

    def _open(
        self, codec: Codec, role: str, cuda: CudaOptions, source: Tensor, result: Tensor
    ) -> DeviceRun:
        from cuda_kernels.capture_gate import GATE

        with GATE.alone():  # the first run captures, and takes memory before that
            network = Network(codec.network_content(role), codec.device, _THREADS, cuda=cuda)
            run = DeviceRun(network, self._step, source, result)
            run(self.batch_samples)
        with self.queue:
            pass  # waits for it
        return run


class LaneDecoder:
    """The decoder of a lane, for whoever checks that it decodes as a certificate says."""

    def __init__(self, codec: Codec, lane: NetworkLane) -> None:
        """Decode in `lane`, at its own step."""
        self.device, self.digest, self.threads = codec.device, codec.digest, _THREADS
        self._lane = lane

    def reconstruct(self, latents: NDArray[Any], step: float) -> NDArray[Any]:
        """What the network returns for latents `(n, *latent_shape)`, floats `(n, elements)`.

        Raises:
            ValueError: the lane was opened for another `step`.
            DeviceUnavailable: the device fails.
        """
        lane, found = self._lane, []
        if np.float32(step) != np.float32(lane.step):
            raise ValueError(f"a lane for step {lane.step} can't decode at step {step}")
        for start, stop in batches(len(latents), lane.batch_samples):
            with device_failures_named(), lane.queue as queue:
                lane.latents.upload(latents[start:stop])
                lane.decode(stop - start)
                found.append(queue.download(lane.reconstruction[: stop - start]))
        return np.concatenate(found)


def open_captured_lane(
    codec: Codec,
    step: float,
    batch_samples: int,
    roles: tuple[str, ...],
    cuda: CudaOptions = EXACT,
) -> NetworkLane:
    """A lane for whole batches, of CUDA graphs where the networks allow that; else without them.

    Raises:
        As `NetworkLane`.
    """
    captured = dataclasses.replace(cuda, graph=True)
    with contextlib.suppress(Exception):  # what else is wrong comes again
        return NetworkLane(codec, step, batch_samples, roles, captured)
    return NetworkLane(codec, step, batch_samples, roles, cuda)


class LanePool(Generic[Lane]):
    """Gives every thread a lane, opened when it first asks for one."""

    def __init__(self, open_lane: Callable[[], Lane]) -> None:
        """Open lanes with a function."""
        self._open_lane = open_lane
        self._of_thread = threading.local()

    def mine(self) -> Lane:
        """The lane of the calling thread."""
        try:
            lane: Lane = self._of_thread.lane
        except AttributeError:
            with device_failures_named():
                lane = self._of_thread.lane = self._open_lane()
        return lane


@contextlib.contextmanager
def device_failures_named() -> Iterator[None]:
    """Give what torch and Triton raise a name of ours."""
    try:
        yield
    except RuntimeError as error:  # of too little memory, too
        raise DeviceUnavailable(f"the device failed: {one_line(error)}") from None
