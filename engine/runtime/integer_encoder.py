"""An encoder whose layers multiply 8-bit integers, made of a codec's float32 one.

Dense layers that see the samples through nothing but scaling, offsets and changes of layout take
the raw integers as they are: no value is rounded before the product, and the work in front of it
goes away. Other layers round what they take to 8 bits, within the range that calibration samples
reach. Weights are rounded per channel. The layers between stay as they are.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference" (2018); the patterns are those that onnxruntime fuses.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.codec.narrow_weights import widened
from engine.runtime.observed_network import ObservedNetwork
from engine.runtime.session import Network

_AFFINE = ("Add", "Sub", "Mul", "Div", "Cast", "Identity")
_LAYOUT = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze")
_LARGEST_SUM = 2**31 - 1  # products are summed up in int32


def integer_encoder(
    content: bytes, samples: NDArray[Any], weight_limit: int | None = None
) -> bytes | None:
    """An encoder like `content`, calibrated on raw `samples` `(n, *sample_shape)`.

    `weight_limit` is the largest magnitude of a weight, by default what this machine multiplies
    exactly. None where no layer can be rounded.
    """
    rewriting = _Rewriting(content, samples, weight_limit or largest_exact_weight())
    return rewriting.run() if rewriting.layers else None


@functools.cache
def largest_exact_weight() -> int:
    """127, or 63 where this CPU adds products of uint8 and int8 in 16 bits, which overflow.

    x86 without VNNI does; asking a product of onnxruntime's is surer than asking for a list of
    instructions.
    """
    values = [helper.make_tensor_value_info("a", TensorProto.UINT8, ["n", 64])]
    results = [helper.make_tensor_value_info("y", TensorProto.INT32, ["n", 32])]
    weights = numpy_helper.from_array(np.full((64, 32), 127, np.int8), "w")
    node = helper.make_node("MatMulInteger", ["a", "w"], ["y"])
    graph = helper.make_graph([node], "product", values, results, initializer=[weights])
    opset = helper.make_opsetid("", 20)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    session = Network(model.SerializeToString(), "cpu", 1).session
    found = session.run(None, {"a": np.full((16, 64), 255, np.uint8)})[0]
    return 127 if (found == 64 * 255 * 127).all() else 63


class _Rewriting:
    """One graph on its way to integers; `layers` are the nodes that will be replaced."""

    def __init__(self, content: bytes, samples: NDArray[Any], limit: int) -> None:
        self.model = widened(onnx.load_model_from_string(content))
        self.limit, self.samples = limit, samples
        graph = self.model.graph
        self.made_by = {name: node for node in graph.node for name in node.output}
        self.constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self.constants |= dict(_constant_nodes(graph.node))
        nested = any(a.type == AttributeProto.GRAPH for n in graph.node for a in n.attribute)
        self.layers = [] if nested else [node for node in graph.node if self._is_layer(node)]
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {}

    def run(self) -> bytes | None:
        """Replace the layers; the whole graph as bytes, None where its values have no range."""
        made = (node.output[0] for node in self.layers if node.op_type == "Conv")
        taken = (node.input[0] for node in self.layers)
        self.observed = ObservedNetwork(self.model, (*taken, *made))
        self.ranges = self.observed.ranges(self.samples)
        if not np.isfinite(list(self.ranges.values())).all():
            return None
        for node in self.model.graph.node:
            if not any(node is layer for layer in self.layers):
                self.nodes.append(node)
            elif node.op_type == "Conv":
                self._convolution(node)
            else:
                self._product(node)
        return self._finished()

    def _is_layer(self, node: NodeProto) -> bool:
        if node.op_type not in ("MatMul", "Gemm", "Conv") or node.input[0] not in self.made_by:
            return False
        names = [name for name in node.input[1:] if name]
        operands = [self.constants[name] for name in names if name in self.constants]
        if len(operands) < len(names) or not all(map(_is_finite_float32, operands)):
            return False
        return node.op_type == "Conv" or _is_product(node, operands)

    def _product(self, node: NodeProto) -> None:
        weights, bias = self._weights_and_bias(node)
        affine = self._affine(node.input[0], len(weights))
        prefix = node.output[0]
        if affine is None:
            scale, zero = self._grid(node.input[0], prefix)
            value = self._node("QuantizeLinear", [node.input[0], scale, zero], f"{prefix}_rounded")
            weights = weights * self.weights[scale]
            operands = [value]
        else:
            factor, offset = affine
            bias = bias + offset @ weights
            weights = weights * factor[:, None]
            operands, zero = [self._raw(node.input[0], prefix)], ""
        rounded, spacing = self._rounded(weights, axis=1)
        operands.append(self._weight(f"{prefix}_weights", rounded))
        value = self._node("MatMulInteger", operands + [zero] * bool(zero), f"{prefix}_integers")
        value = self._node("Cast", [value], f"{prefix}_floats", to=TensorProto.FLOAT)
        spacings = self._weight(f"{prefix}_spacing", np.float32(spacing))
        value = self._node("Mul", [value, spacings], f"{prefix}_scaled")
        self._node("Add", [value, self._weight(f"{prefix}_bias", np.float32(bias))], prefix)

    def _weights_and_bias(self, node: NodeProto) -> tuple[NDArray[Any], NDArray[Any]]:
        """Of a dense layer: float64 (inputs, outputs) and (outputs,)."""
        weights = self.constants[node.input[1]].astype(np.float64)
        weights = weights.T if _attributes(node).get("transB", 0) else weights
        bias = np.zeros(weights.shape[1])
        if len(node.input) > 2 and node.input[2]:
            bias = bias + self.constants[node.input[2]].reshape(-1)
        return weights, bias

    def _convolution(self, node: NodeProto) -> None:
        """Between roundings that onnxruntime fuses with it."""
        prefix, weights = node.output[0], self.constants[node.input[1]].astype(np.float64)
        scale, zero = self._grid(node.input[0], f"{prefix}_input")
        rounded, spacing = self._rounded(weights, axis=0)
        operands = [
            self._round_trip(node.input[0], scale, zero, f"{prefix}_input"),
            self._stored(f"{prefix}_weights", rounded, spacing),
        ]
        if len(node.input) > 2 and node.input[2]:
            steps = spacing * self.weights[scale]
            limits = np.iinfo(np.int32)
            bias = np.clip(np.rint(self.constants[node.input[2]] / steps), limits.min, limits.max)
            operands.append(self._stored(f"{prefix}_bias", bias.astype(np.int32), steps))
        value = self._node("Conv", operands, f"{prefix}_floats", **_attributes(node))
        scale, zero = self._grid(node.output[0], f"{prefix}_output")
        self._round_trip(value, scale, zero, f"{prefix}_output", result=prefix)

    def _affine(
        self, value: str, width: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Factor and offset, per element, that the raw samples have become `value` with."""
        if self.samples.dtype not in (np.uint8, np.int8) or self._path(value) is None:
            return None
        top = np.iinfo(self.samples.dtype).max
        shape = (1, *self.samples.shape[1:])
        lowest, highest = (
            self.observed(np.full(shape, level, self.samples.dtype))[value] for level in (0, top)
        )
        if lowest.shape != (1, width) or width != math.prod(shape):
            return None
        offset = lowest[0].astype(np.float64)
        return (highest[0] - offset) / top, offset

    def _path(self, value: str) -> list[NodeProto] | None:
        """The nodes from the samples to `value`, if these only scale, shift and rearrange."""
        path: list[NodeProto] = []
        while value in self.made_by:
            node = self.made_by[value]
            varying = [name for name in node.input if name and name not in self.constants]
            movable = node.op_type in _LAYOUT or node.op_type in _AFFINE
            if len(varying) != 1 or not movable or _divides_by(node, varying[0]):
                return None
            path.append(node)
            value = varying[0]
        return path[::-1] if value == self.observed.input_name else None

    def _raw(self, value: str, prefix: str) -> str:
        """The raw samples in the layout of `value`."""
        raw = self.observed.input_name
        for number, node in enumerate(self._path(value) or ()):
            if node.op_type in _LAYOUT:
                operands = [raw, *node.input[1:]]
                raw = self._node(
                    node.op_type, operands, f"{prefix}_raw_{number}", **_attributes(node)
                )
        return raw

    def _grid(self, value: str, prefix: str) -> tuple[str, str]:
        """Scale and zero point of the uint8 grid that spans the range of `value`."""
        low, high = self.ranges[value]
        scale = np.float32(max((high - low) / 255, float(np.finfo(np.float32).tiny)))
        zero = np.uint8(np.clip(np.rint(-low / scale), 0, 255))
        return self._weight(f"{prefix}_scale", scale), self._weight(f"{prefix}_zero", zero)

    def _rounded(
        self, weights: NDArray[np.float64], axis: int
    ) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
        """Weights as int8, and what a step of them stands for in each channel of `axis`."""
        others = tuple(other for other in range(weights.ndim) if other != axis)
        terms = math.prod(weights.shape[other] for other in others)
        limit = max(1, min(self.limit, _LARGEST_SUM // (255 * terms)))
        spacing = np.abs(weights).max(axis=others, keepdims=True) / limit
        spacing[spacing == 0] = 1.0
        return np.rint(weights / spacing).astype(np.int8), spacing.reshape(-1)

    def _round_trip(
        self, value: str, scale: str, zero: str, prefix: str, result: str | None = None
    ) -> str:
        rounded = self._node("QuantizeLinear", [value, scale, zero], f"{prefix}_rounded")
        return self._node(
            "DequantizeLinear", [rounded, scale, zero], result or f"{prefix}_restored"
        )

    def _stored(self, name: str, integers: NDArray[Any], spacing: NDArray[Any]) -> str:
        steps = self._weight(f"{name}_spacing", np.float32(spacing))
        zeros = self._weight(f"{name}_zeros", np.zeros(len(spacing), integers.dtype))
        stored = self._weight(f"{name}_integers", integers)
        return self._node("DequantizeLinear", [stored, steps, zeros], name, axis=0)

    def _node(self, op: str, operands: list[str], result: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, operands, [result], name=result, **attributes))
        return result

    def _weight(self, name: str, values: NDArray[Any] | np.generic) -> str:
        self.weights[name] = np.asarray(values)
        return name

    def _finished(self) -> bytes:
        """The graph without what nothing uses any more."""
        graph = self.model.graph
        needed = {value.name for value in graph.output}
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                kept.append(node)
        kept.reverse()
        weights = [tensor for tensor in graph.initializer if tensor.name in needed]
        weights += [numpy_helper.from_array(v, n) for n, v in self.weights.items() if n in needed]
        result = ModelProto()
        result.CopyFrom(self.model)
        for part, values in (("node", kept), ("initializer", weights), ("value_info", [])):
            result.graph.ClearField(part)
            getattr(result.graph, part).extend(values)
        onnx.checker.check_model(result)
        return bytes(result.SerializeToString(deterministic=True))


def _constant_nodes(nodes: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    for node in nodes:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.output[0], numpy_helper.to_array(node.attribute[0].t)


def _is_finite_float32(values: NDArray[Any]) -> bool:
    return values.dtype == np.float32 and bool(np.isfinite(values).all())


def _is_product(node: NodeProto, operands: list[NDArray[Any]]) -> bool:
    """Whether a dense layer is `x @ weights + bias`, with one bias a channel."""
    weights, attributes = operands[0], _attributes(node)
    if weights.ndim != 2 or attributes.get("transA", 0):
        return False
    channels = weights.shape[0 if attributes.get("transB", 0) else 1]
    unscaled = all(attributes.get(name, 1) == 1 for name in ("alpha", "beta"))
    return unscaled and all(bias.size in (1, channels) for bias in operands[1:])


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}


def _divides_by(node: NodeProto, value: str) -> bool:
    return bool(node.op_type == "Div" and node.input[1] == value)
