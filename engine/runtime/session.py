"""onnxruntime sessions: pinned to one device, quiet, and run over ready arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptCodec, DeviceUnavailable
from engine.runtime.device import Device

if TYPE_CHECKING:
    import onnxruntime

_ERRORS_ONLY = 3


class Network:
    """One ONNX graph of a codec on one device: `(batch, step) -> result`.

    Thread-safe: with `threads` = 1 every calling thread runs the graph by itself.
    """

    def __init__(self, content: bytes, device: Device, threads: int = 0) -> None:
        """Load a graph; `threads` is the number that work on one run, 0 for all cores.

        Raises:
            CorruptCodec: onnxruntime can't load the graph.
            DeviceUnavailable: the session doesn't run where it was asked to.
        """
        self.device = device
        self.session = _open_session(content, device, threads)
        self.input_name = next(i.name for i in self.session.get_inputs() if i.name != "step")
        self.output_name = self.session.get_outputs()[0].name

    def __call__(self, batch: NDArray[Any], step: NDArray[np.float32]) -> NDArray[Any]:
        """Run the graph; arrays go in and come out on the host."""
        result: NDArray[Any] = self.session.run(None, {self.input_name: batch, "step": step})[0]
        return result


def run_bare_session(content: bytes) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A bare float network on the CPU, as a function of one batch."""
    session = _open_session(content, "cpu", 0)
    name = session.get_inputs()[0].name

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = session.run(None, {name: batch})[0]
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
    except DeviceUnavailable as error:
        return str(error)
    return None


def _open_session(content: bytes, device: Device, threads: int) -> onnxruntime.InferenceSession:
    import onnxruntime

    onnxruntime.set_default_logger_severity(_ERRORS_ONLY + (device == "cuda"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[Any] = ["CPUExecutionProvider"]
    if device == "cuda":
        if hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()
        providers.insert(0, ("CUDAExecutionProvider", {"use_tf32": 0}))
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # onnxruntime raises pybind types of its own
        reason = str(error).strip().splitlines()[0]
        raise CorruptCodec(f"onnxruntime can't load the network: {reason}") from None
    session.disable_fallback()
    if device == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise DeviceUnavailable(
            "onnxruntime could not start CUDA (it needs CUDA and cuDNN of the versions it was "
            "built for: pip install 'latent-engine[cuda]')"
        )
    return session
