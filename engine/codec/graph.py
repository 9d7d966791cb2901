"""The graph is the codec: wraps bare float networks in cast, scaling and quantisation.

`encoder(x, step)` takes samples in their own dtype and returns integer latents;
`decoder(latents, step)` takes these and returns the reconstruction in physical units. Whatever
runs ONNX can encode and decode; there is no second implementation to drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import (
    ModelProto,
    NodeProto,
    TensorProto,
    compose,
    helper,
    numpy_helper,
)

from engine.codec.graph_model import OPSETS, check_self_contained
from engine.codec.manifest import LatentFormat
from engine.codec.sample_format import SampleFormat
from engine.errors import InvalidInput, one_line

IR_VERSION = 10
BATCH = "batch"
NETWORK_PREFIX = "network_"  # begins the names of all that the bare network makes
_UNSHIPPED = ("doc_string", "metadata_props", "producer_name", "producer_version")


def parse_network(content: bytes, name: str) -> ModelProto:
    """Read a bare float network: one float32 input, one float32 output, batch axis first.

    Raises:
        InvalidInput: it isn't one.
    """
    try:
        model = onnx.load_model_from_string(content)
        check_self_contained(model)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and the checker raise types of their own
        raise InvalidInput(f"{name}: not a usable ONNX model ({one_line(error)})") from None
    if _opset(model) not in OPSETS:
        raise InvalidInput(
            f"{name}: has opset {_opset(model)}, expected {OPSETS.start} to {OPSETS.stop - 1}"
        )
    _check_values(name, "input", _inputs(model))
    _check_values(name, "output", list(model.graph.output))
    return model


def input_shape(model: ModelProto) -> tuple[int | None, ...]:
    """Declared shape of one sample at the model's input, without the batch; None is free."""
    return _declared_shape(_inputs(model)[0])


def output_shape(model: ModelProto) -> tuple[int | None, ...]:
    """Declared shape of one sample at the model's output, without the batch; None is free."""
    return _declared_shape(model.graph.output[0])


def build_encoder(network: ModelProto, sample: SampleFormat, latent: LatentFormat) -> bytes:
    """Wrap a bare encoder as `encoder(x, step: float32[1]) -> latents`."""
    before, after = _Fragment(_opset(network)), _Fragment(_opset(network))
    value = before.input("x", sample.dtype, sample.shape)
    value = before.node("Cast", value, to=_onnx_dtype(sample.working_dtype))
    value = before.affine("Sub", value, sample.offset, sample.working_dtype)
    value = before.affine("Mul", value, 1 / sample.scale, sample.working_dtype)
    value = before.cast_float32(value, sample.working_dtype)
    if sample.axis_order is not None:
        value = before.node("Transpose", value, perm=[0, *(a + 1 for a in sample.axis_order)])
    value = before.reshape(value, sample.shape, sample.network_shape)
    before.output(value, np.dtype(np.float32), sample.network_shape)

    value = after.input("z", np.dtype(np.float32), latent.shape)
    spacing = after.spacing(latent)
    value = after.node("Sub", value, after.constant(latent.per_channel(latent.offset)))
    value = after.node("Div", value, spacing)
    value = after.node("Round", value)
    limits = (after.constant(np.float32(side * latent.limit)) for side in (-1, 1))
    value = after.node("Clip", value, *limits)
    value = after.node("Cast", value, to=_onnx_dtype(latent.dtype))
    after.output(value, latent.dtype, latent.shape)
    return _join(before, network, after, "latents")


def build_decoder(network: ModelProto, sample: SampleFormat, latent: LatentFormat) -> bytes:
    """Wrap a bare decoder as `decoder(latents, step: float32[1]) -> reconstruction`."""
    before, after = _Fragment(_opset(network)), _Fragment(_opset(network))
    value = before.input("latents", latent.dtype, latent.shape)
    spacing = before.spacing(latent)
    value = before.node("Cast", value, to=TensorProto.FLOAT)
    value = before.node("Mul", value, spacing)
    value = before.node("Add", value, before.constant(latent.per_channel(latent.offset)))
    before.output(value, np.dtype(np.float32), latent.shape)

    value = after.input("y", np.dtype(np.float32), sample.network_shape)
    if sample.axis_order is not None:
        back = np.argsort(sample.axis_order)
        value = after.node("Transpose", value, perm=[0, *(int(a) + 1 for a in back)])
    value = after.reshape(value, sample.network_shape, sample.shape)
    if sample.working_dtype != np.float32:
        value = after.node("Cast", value, to=_onnx_dtype(sample.working_dtype))
    value = after.affine("Mul", value, sample.scale, sample.working_dtype)
    value = after.affine("Add", value, sample.offset, sample.working_dtype)
    after.output(value, sample.working_dtype, sample.shape)
    return _join(before, network, after, "reconstruction")


class _Fragment:
    """A small graph in the making; values are named by the operation that made them."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.constants: list[TensorProto] = []

    def input(self, name: str, dtype: np.dtype[Any], shape: Sequence[int]) -> str:
        self.inputs.append(_value(name, dtype, (BATCH, *shape)))
        return name

    def output(self, value: str, dtype: np.dtype[Any], shape: Sequence[int]) -> None:
        if not self.nodes:
            value = self.node("Identity", value)
        self.outputs.append(_value(value, dtype, (BATCH, *shape)))

    def constant(self, values: NDArray[Any] | np.generic) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def affine(self, op: str, value: str, operand: float, dtype: np.dtype[Any]) -> str:
        neutral = 1.0 if op == "Mul" else 0.0
        return (
            value
            if operand == neutral
            else self.node(op, value, self.constant(dtype.type(operand)))
        )

    def cast_float32(self, value: str, dtype: np.dtype[Any]) -> str:
        return value if dtype == np.float32 else self.node("Cast", value, to=TensorProto.FLOAT)

    def reshape(self, value: str, before: Sequence[int], after: Sequence[int]) -> str:
        if len(before) == len(after):
            return value
        return self.node("Reshape", value, self.constant(np.array([-1, *after], np.int64)))

    def spacing(self, latent: LatentFormat) -> str:
        self.inputs.append(helper.make_tensor_value_info("step", TensorProto.FLOAT, [1]))
        return self.node("Mul", self.constant(latent.per_channel(latent.scale)), "step")

    def model(self) -> ModelProto:
        graph = helper.make_graph(
            self.nodes, "fragment", self.inputs, self.outputs, initializer=self.constants
        )
        opset = helper.make_opsetid("", self.opset)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)


def _join(before: _Fragment, network: ModelProto, after: _Fragment, output: str) -> bytes:
    first = compose.add_prefix(before.model(), "before_", rename_inputs=False)
    last = compose.add_prefix(after.model(), "after_", rename_inputs=False)
    try:
        bare = compose.add_prefix(_normalised(network), NETWORK_PREFIX)
        # Both fragments may take "step"; only one of them does.
        joined = compose.merge_models(
            first, bare, [(first.graph.output[0].name, _inputs(bare)[0].name)]
        )
        joined = compose.merge_models(
            joined, last, [(joined.graph.output[0].name, last.graph.input[0].name)]
        )
        _rename_output(joined, output)
        _anonymise(joined)
        joined.graph.name = output
        _name_opsets_once(joined)
        onnx.checker.check_model(joined, full_check=True)
    except Exception as error:  # the checker and shape inference raise types of their own
        raise InvalidInput(f"the network can't be wrapped: {one_line(error)}") from None
    return bytes(joined.SerializeToString(deterministic=True))


def _normalised(network: ModelProto) -> ModelProto:
    """A copy of the pinned IR whose weights are no inputs, and without inferred shapes."""
    model = ModelProto()
    model.CopyFrom(network)
    model.ir_version = IR_VERSION
    # Shapes inside the network name its own batch axis; they are inferred anew when it is joined.
    del model.graph.value_info[:]
    inputs = _inputs(model)
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return model


def _name_opsets_once(model: ModelProto) -> None:
    versions = {entry.domain: entry.version for entry in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*entry) for entry in versions.items())


def _anonymise(message: Any) -> None:
    """Remove names of tools, source paths and stack traces, however deep they lie."""
    for descriptor, value in message.ListFields():
        if descriptor.name in _UNSHIPPED:
            message.ClearField(descriptor.name)
        elif descriptor.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _anonymise(part)


def _rename_output(model: ModelProto, name: str) -> None:
    value = model.graph.output[0]
    for node in model.graph.node:
        for index, output in enumerate(node.output):
            if output == value.name:
                node.output[index] = name
    value.name = name


def _inputs(model: ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that aren't weights: up to IR version 3 these were inputs, too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _check_values(name: str, what: str, values: list[onnx.ValueInfoProto]) -> None:
    """Refuse anything but one float32 tensor with a free batch axis and axes of a known number."""
    if len(values) != 1 or values[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        found = (f"{value.name} ({_type_name(value)})" for value in values)
        raise InvalidInput(f"{name}: expected one float32 {what}, found {', '.join(found) or 0}")
    shape = values[0].type.tensor_type.shape.dim
    if len(shape) < 2 or shape[0].dim_value > 0:
        sizes = ", ".join(dim.dim_param or str(dim.dim_value or "any") for dim in shape)
        raise InvalidInput(
            f"{name}: expected an {what} of shape (batch, ...) with a free batch, found ({sizes}); "
            f"export it with a dynamic batch axis"
        )


def _declared_shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.dim_value > 0 else None for dim in dims)[1:]


def _type_name(value: onnx.ValueInfoProto) -> str:
    return str(TensorProto.DataType.Name(value.type.tensor_type.elem_type)).lower()


def _value(name: str, dtype: np.dtype[Any], shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _onnx_dtype(dtype), shape)


def _onnx_dtype(dtype: np.dtype[Any]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(dtype))


def _opset(model: ModelProto) -> int:
    return next(
        (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0
    )
