"""A network bound to memory of its device: a run is queued on a stream, and nothing is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cuda_kernels.array import dtype_of
from engine.runtime.session import Network

if TYPE_CHECKING:
    from cuda_kernels.lane import Tensor


class DeviceRun:
    """Runs a network over the first rows of one tensor into the first rows of another.

    On CUDA a run is in the order of the stream that the network was opened for, and returns before
    it is done. Without a CUDA graph, at least: replaying one may wait, which is as good but slower.
    Belongs to one thread, since onnxruntime keeps a captured graph for the thread that captured it.
    """

    def __init__(self, network: Network, step: Tensor, source: Tensor, result: Tensor) -> None:
        """Bind `step` (1,); `source` and `result` `(rows, ...)` are bound when the first run is.

        Raises:
            DeviceUnavailable: the device fails.
        """
        from onnxruntime import RunOptions

        self._network, self._source, self._result = network, source, result
        self._options = RunOptions()
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self._step, self._count = step, 0  # the binding has no more than the address of the step
        with network.failures_named():
            self._binding = network.session.io_binding()
            self._binding.bind_input("step", *self._place(step))

    def __call__(self, count: int) -> None:
        """Queue a run over the first `count` rows.

        Raises:
            DeviceUnavailable: the device has too little memory, or fails.
        """
        network = self._network
        with network.failures_named():
            if count != self._count:
                self._count = 0  # until both are bound
                self._binding.bind_input(network.input_name, *self._place(self._source[:count]))
                self._binding.bind_output(network.output_name, *self._place(self._result[:count]))
                self._count = count
            network.session.run_with_iobinding(self._binding, self._options)

    def _place(self, tensor: Tensor) -> tuple[str, int, type[np.generic], tuple[int, ...], int]:
        """Where a tensor lies and what it holds, as onnxruntime takes it."""
        device, shape = self._network.device, tuple(tensor.shape)
        return device, 0, dtype_of(tensor).type, shape, tensor.data_ptr()
