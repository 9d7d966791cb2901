"""onnxruntime sessions: pinned to one device, quiet, and run over ready arrays."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptCodec, DeviceUnavailable, EngineError, InvalidInput, one_line
from engine.runtime.cuda_options import EXACT, CudaOptions
from engine.runtime.device import Device

if TYPE_CHECKING:
    import onnxruntime

_FATAL_ONLY = 4  # whatever is less than fatal comes as an exception


class Network:
    """One ONNX graph of a codec on one device: `(batch, step) -> result`.

    Thread-safe: with `threads` = 1 every calling thread runs the graph by itself.
    """

    def __init__(
        self,
        content: bytes,
        device: Device,
        threads: int = 0,
        *,
        optimised: bool = True,
        cuda: CudaOptions = EXACT,
    ) -> None:
        """Load a graph; `threads` is the number that work on one run, 0 for all cores.

        `optimised`: let onnxruntime rewrite the graph. `cuda` matters on that device alone.

        Raises:
            CorruptCodec: onnxruntime can't load the graph.
            DeviceUnavailable: the session doesn't run where it was asked to.
        """
        self.device = device
        self.session = _open_session(content, device, threads, optimised, cuda)
        self.input_name = next(i.name for i in self.session.get_inputs() if i.name != "step")
        self.output_name = self.session.get_outputs()[0].name

    def __call__(self, batch: NDArray[Any], step: NDArray[np.float32]) -> NDArray[Any]:
        """Run the graph; arrays go in and come out on the host.

        Raises:
            DeviceUnavailable: the device has too little memory, or fails.
        """
        with self.failures_named():
            result: NDArray[Any] = self.session.run(None, {self.input_name: batch, "step": step})[0]
            return result

    def bind(self, step: NDArray[np.float32]) -> BoundRun:
        """The graph at one `step` of shape (1,), ready to run into buffers of the caller's."""
        return BoundRun(self, step)

    @contextlib.contextmanager
    def failures_named(self) -> Iterator[None]:
        """Give what onnxruntime raises while it runs the graph a name of ours."""
        try:
            yield
        except Exception as error:  # onnxruntime raises pybind types of its own
            raise self.failure(error) from None

    def failure(self, error: Exception) -> DeviceUnavailable:
        """The error of ours for one of onnxruntime's."""
        return DeviceUnavailable(f"running a network on {self.device} failed: {one_line(error)}")


class BoundRun:
    """Runs a network over host arrays and writes into another: `bound(batch, out)`.

    `session.run` makes an array for every result, whose fresh pages cost a dense decoder a fifth
    of its time. A BoundRun belongs to one thread; the network behind it is shared.
    Binding takes as long as decoding one small sample, so the same array stays bound.
    """

    def __init__(self, network: Network, step: NDArray[np.float32]) -> None:
        """Bind `step`, which must not change any more."""
        self._network, self._step = network, step
        self._binding = network.session.io_binding()
        self._input: NDArray[Any] | None = None
        self._output: NDArray[Any] | None = None
        self._binding.bind_cpu_input("step", step)

    def __call__(self, batch: NDArray[Any], out: NDArray[Any]) -> None:
        """Run the graph over `batch` (n, ...); the result fills `out` (n, ...).

        Both are C-contiguous and of the dtypes that the graph declares; shapes must be the graph's.

        Raises:
            DeviceUnavailable: the device has too little memory, or fails.
        """
        new_input, new_output = batch is not self._input, out is not self._output
        if (new_input or new_output) and not (batch.flags.c_contiguous and out.flags.c_contiguous):
            raise ValueError("a network is bound to C-contiguous arrays only")
        try:
            if new_input:
                self._bind_input(batch)
            if new_output:
                self._bind_output(out)
            self._network.session.run_with_iobinding(self._binding)
        except Exception as error:  # onnxruntime raises pybind types of its own
            raise self._network.failure(error) from None

    def _bind_input(self, batch: NDArray[Any]) -> None:
        self._input = None
        self._binding.bind_cpu_input(self._network.input_name, batch)
        # What is bound to a session on another device was copied there, and stays as it was.
        if self._network.device == "cpu":
            self._input = batch

    def _bind_output(self, out: NDArray[Any]) -> None:
        self._output = None
        name, address = self._network.output_name, out.ctypes.data
        self._binding.bind_output(name, "cpu", 0, out.dtype.type, out.shape, address)
        self._output = out


def run_bare_session(
    content: bytes, name: str
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A bare float network on the CPU, as a function of one batch `(n, *shape)`.

    Raises:
        InvalidInput: onnxruntime can't load it, or, when it is called, can't run it.
    """
    try:
        session = _open_session(content, "cpu", 0)
    except CorruptCodec as error:
        raise InvalidInput(f"{name}: {error}") from None
    input_name = session.get_inputs()[0].name

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            result: NDArray[np.float32] = session.run(None, {input_name: batch})[0]
        except Exception as error:  # onnxruntime raises pybind types of its own
            raise InvalidInput(
                f"{name}: can't be run on float32 of shape {batch.shape}: {one_line(error)}"
            ) from None
        if len(result) != len(batch):
            raise InvalidInput(
                f"{name}: expected one result a sample, found shape {result.shape} "
                f"for {len(batch)} samples"
            )
        return result

    return run


def probe_cuda_session() -> str | None:
    """Try a one-node graph on CUDA; the reason why it doesn't run there, or None."""
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])], "probe", value[:1], value[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    try:
        _open_session(model.SerializeToString(), "cuda", 0)
    except EngineError as error:
        return str(error)
    return None


@functools.cache
def _preload_cuda() -> None:
    """Load CUDA's libraries from Python packages, unseen: onnxruntime prints what it misses."""
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):
            onnxruntime.preload_dlls()


def _open_session(
    content: bytes,
    device: Device,
    threads: int,
    optimised: bool = True,
    cuda: CudaOptions = EXACT,
) -> onnxruntime.InferenceSession:
    import onnxruntime

    onnxruntime.set_default_logger_severity(_FATAL_ONLY)
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL_ONLY
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[Any] = ["CPUExecutionProvider"]
    if device == "cuda":
        _preload_cuda()
        providers.insert(0, ("CUDAExecutionProvider", cuda.provider_options()))
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # onnxruntime raises pybind types of its own
        raise CorruptCodec(f"onnxruntime can't load the network: {one_line(error)}") from None
    session.disable_fallback()
    if device == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise DeviceUnavailable(
            "onnxruntime could not start CUDA (it needs CUDA and cuDNN of the versions it was "
            "built for: pip install 'latent-engine[cuda]')"
        )
    return session
