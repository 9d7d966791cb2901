"""Encode and measure where the networks run: samples go in, only latents and quality come out.

Everything in between stays in the device's memory, bound to the sessions by onnxruntime's I/O
binding: the latents that the encoder writes are what the decoder reads, and what that returns is
compared there with the raw samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.runtime import error_statistics as host
from engine.runtime.codec import Codec
from engine.runtime.measured_batch import Errors, MeasuredBatch
from engine.runtime.session import Network

if TYPE_CHECKING:
    from onnxruntime import OrtValue

Statistics = Callable[["DeviceRows", "DeviceRows"], Errors]


@dataclass(frozen=True)
class DeviceRows:
    """An onnxruntime value seen as `(n, elements)`, as the kernels take arrays."""

    value: OrtValue
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def data_ptr(self) -> int:
        """Address of the first element."""
        return int(self.value.data_ptr())

    def numpy(self) -> NDArray[Any]:
        """A copy on the host."""
        return np.asarray(self.value.numpy()).reshape(self.shape)


class BoundEncoder:
    """A measured encoder whose batches stay on the codec's device; thread-safe."""

    def __init__(self, codec: Codec, step: float) -> None:
        """Bind to the sessions of `codec`, on the device that it is on."""
        self._codec = codec
        self._encoder, self._decoder = codec.encoder, codec.decoder
        self._step = self._upload(np.array([step], np.float32))
        self._statistics, where = choose_statistics(codec.device)
        self.description = f"{codec.device}, error statistics {where}"

    def __call__(self, samples: NDArray[Any], out: MeasuredBatch) -> None:
        """Encode, and where `out` has room for errors decode again and compare on the device."""
        count, manifest = len(samples), self._codec.manifest
        raw = self._upload(samples)
        latents = self._run(
            self._encoder, raw, (count, *manifest.latent.shape), manifest.latent.dtype
        )
        np.copyto(out.latents, latents.numpy())
        if out.errors is None:
            return
        working = manifest.sample.working_dtype
        decoded = self._run(self._decoder, latents, samples.shape, working)
        rows = (count, math.prod(samples.shape[1:]))
        found = self._statistics(
            DeviceRows(decoded, rows, working), DeviceRows(raw, rows, samples.dtype)
        )
        for room, values in zip(out.errors, found, strict=True):
            np.copyto(room, values)

    def _upload(self, array: NDArray[Any]) -> OrtValue:
        from onnxruntime import OrtValue

        with self._encoder.failures_named():
            return OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self._codec.device, 0)

    def _run(
        self, network: Network, value: OrtValue, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> OrtValue:
        from onnxruntime import OrtValue

        with network.failures_named():
            result = OrtValue.ortvalue_from_shape_and_type(shape, dtype, self._codec.device, 0)
            binding = network.session.io_binding()
            binding.bind_ortvalue_input(network.input_name, value)
            binding.bind_ortvalue_input("step", self._step)
            binding.bind_ortvalue_output(network.output_name, result)
            network.session.run_with_iobinding(binding)  # waits for the device before it returns
        return result


def choose_statistics(device: str) -> tuple[Statistics, str]:
    """The function that compares on `device`, and where it does: Triton's needs its extra."""
    if device != "cuda":
        return _on_host, "on the host"
    try:
        from cuda_kernels.error_statistics.kernel import error_statistics
    except ImportError:
        return _on_host, "on the host (pip install 'latent-engine[cuda]' for the kernel)"

    def on_device(reconstruction: DeviceRows, samples: DeviceRows) -> Errors:
        count = samples.shape[0]
        sums = [_empty_errors(count, device) for _ in range(2)]
        error_statistics(reconstruction, samples, *sums)
        # Copying waits for the kernel: both are in the order of the default stream.
        return sums[0].numpy(), sums[1].numpy()

    return on_device, "on the device"


def _on_host(reconstruction: DeviceRows, samples: DeviceRows) -> Errors:
    count = samples.shape[0]
    errors = np.empty(count), np.empty(count)
    host.error_statistics(reconstruction.numpy(), samples.numpy(), *errors)
    return errors


def _empty_errors(count: int, device: str) -> DeviceRows:
    from onnxruntime import OrtValue

    dtype = np.dtype(np.float64)
    value = OrtValue.ortvalue_from_shape_and_type((count,), dtype, device, 0)
    return DeviceRows(value, (count,), dtype)
