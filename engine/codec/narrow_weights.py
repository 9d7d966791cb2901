"""Weights of a graph kept in fewer bits: float16, or integers and scales, made float32 at load.

A narrow weight is an initialiser followed by Cast. Integers are int8, times a scale for each entry
of one axis; those that int8 doesn't hold have a second initialiser of multiples of 256, which is
zero elsewhere and so takes few bytes once it is compressed. Runtimes compute nodes that depend on
no input once, when they load the graph, so the network that runs is the float32 one, and returns
the same numbers in batches of any size. `DequantizeLinear` wouldn't do: onnxruntime keeps it beside
the products, whose order then depends on the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

LARGEST_INTEGER = 127 * 256 + 127
_PLANE = 256
_SCALE_BITS = 8  # with the 15 of an integer they are fewer than the 24 of a float32
_WIDENING = ("Add", "Cast", "Mul", "Transpose")
_HIGH = ".high"
_KINDS = {TensorProto.INT8: "int8", TensorProto.FLOAT16: "float16", TensorProto.FLOAT: "float32"}


@dataclass(frozen=True, eq=False)
class Integers:
    """A weight as integers times scales along one axis, which lies first.

    `integers` int16 `(n, m)`, of magnitude 32639 at most; `scales` float32 `(n,)` of at most 8
    significant bits, so that the products are exact in float32. `axis` is that of the weight that
    the first axis is, `shape` the weight's.
    """

    integers: NDArray[np.int16]
    scales: NDArray[np.float32]
    axis: int
    shape: tuple[int, ...]

    @property
    def weight(self) -> NDArray[np.float32]:
        """The float32 weight that a runtime makes of it."""
        wide = self.integers.astype(np.float32) * self.scales[:, np.newaxis]
        return np.moveaxis(wide.reshape(self.stored_shape), 0, self.axis)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The weight's with the axis of the scales first: what has one compresses together."""
        rest = (*self.shape[: self.axis], *self.shape[self.axis + 1 :])
        return (self.shape[self.axis], *rest)

    def planes(self) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """What int8 holds of the integers, and how many times 256 are missing."""
        low = ((self.integers + 128) % _PLANE - 128).reshape(self.stored_shape)
        high = (self.integers.reshape(self.stored_shape) - low) // _PLANE
        return low.astype(np.int8), high.astype(np.int8)


Narrow = Integers | NDArray[np.float16]
"""What a weight may be kept as, other than float32."""


def float32_weights(model: ModelProto, prefix: str) -> dict[str, NDArray[np.float32]]:
    """The float32 weights of a graph by name, of those whose names begin with `prefix`."""
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT and tensor.name.startswith(prefix)
    }


def replace_weights(
    model: ModelProto,
    narrow: Mapping[str, Narrow],
    changed: Mapping[str, NDArray[np.float32]] | None = None,
) -> ModelProto:
    """A copy of a graph with some weights kept narrow, and some `changed` ones in float32."""
    result = ModelProto()
    result.CopyFrom(model)
    graph, tensors, nodes = result.graph, [], []
    for tensor in graph.initializer:
        name = tensor.name
        if name in narrow:
            made, steps = _narrow_weight(name, narrow[name])
            tensors += made
            nodes += steps
        elif changed and name in changed:
            tensors.append(numpy_helper.from_array(changed[name], name))
        else:
            tensors.append(TensorProto.FromString(tensor.SerializeToString()))
    nodes += [NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(tensors)
    graph.node.extend(nodes)
    return result


def widened(model: ModelProto) -> ModelProto:
    """A copy of a graph whose narrow weights are float32 ones, as a runtime makes them."""
    known = {tensor.name: tensor for tensor in model.graph.initializer}
    narrow = {name for name, tensor in known.items() if tensor.data_type in _KINDS}
    result = ModelProto()
    result.CopyFrom(model)
    kept, made = [], dict(known)
    for node in model.graph.node:
        if node.op_type in _WIDENING and narrow.issuperset(node.input):
            values = _widen(node, [numpy_helper.to_array(made[name]) for name in node.input])
            made[node.output[0]] = numpy_helper.from_array(values, node.output[0])
            narrow.add(node.output[0])
        else:
            kept.append(NodeProto.FromString(node.SerializeToString()))
    used = {name for node in kept for name in node.input}
    used |= {value.name for value in model.graph.output}
    del result.graph.initializer[:], result.graph.node[:]
    result.graph.initializer.extend(tensor for name, tensor in made.items() if name in used)
    result.graph.node.extend(kept)
    return result


def count_weights(model: ModelProto, prefix: str) -> dict[str, int]:
    """How many weights of a graph are kept as int8, float16 and float32, the most first."""
    counts: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        counted = tensor.name.startswith(prefix) and not tensor.name.endswith(_HIGH)
        if tensor.data_type in _KINDS and counted:
            counts[_KINDS[tensor.data_type]] += int(np.prod(tensor.dims))
    return dict(counts.most_common())


def short_scales(scales: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scales rounded to 8 significant bits."""
    mantissa, exponent = np.frexp(scales)
    rounded = np.rint(np.ldexp(mantissa, _SCALE_BITS))
    result: NDArray[np.float32] = np.ldexp(rounded, exponent - _SCALE_BITS).astype(np.float32)
    return result


def _narrow_weight(name: str, narrow: Narrow) -> tuple[list[TensorProto], list[NodeProto]]:
    """The initialisers that stand for a weight, and the nodes that make it of them."""
    if not isinstance(narrow, Integers):
        kept = f"{name}.kept"
        return [numpy_helper.from_array(narrow, kept)], [_cast(kept, name)]
    making = _Making(name)
    low, high = narrow.planes()
    value = making.cast(low, ".kept")
    if high.any():
        larger = making.node(
            "Mul", making.cast(high, _HIGH), making.held(np.float32(_PLANE), ".plane")
        )
        value = making.node("Add", value, larger)
    scales = narrow.scales.reshape(-1, *[1] * (low.ndim - 1))
    value = making.node("Mul", value, making.held(scales, ".scales"))
    if narrow.axis:
        order = [*range(1, low.ndim)]
        order.insert(narrow.axis, 0)
        making.node("Transpose", value, perm=order)
    making.nodes[-1].output[0] = name
    return making.tensors, making.nodes


class _Making:
    """Initialisers and nodes whose names begin with that of the weight that they make."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.tensors: list[TensorProto] = []
        self.nodes: list[NodeProto] = []

    def held(self, values: NDArray[np.generic] | np.generic, suffix: str) -> str:
        name = f"{self._name}{suffix}"
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def cast(self, values: NDArray[np.int8], suffix: str) -> str:
        self.nodes.append(_cast(self.held(values, suffix), f"{self._name}{suffix}_float"))
        return str(self.nodes[-1].output[0])

    def node(self, op: str, *takes: str, **attributes: list[int]) -> str:
        result = f"{self._name}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, takes, [result], name=result, **attributes))
        return result


def _cast(takes: str, makes: str) -> NodeProto:
    return helper.make_node("Cast", [takes], [makes], name=makes, to=TensorProto.FLOAT)


def _widen(node: NodeProto, operands: list[NDArray[Any]]) -> NDArray[Any]:
    """What one of these nodes makes."""
    given = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    if node.op_type == "Cast":
        return operands[0].astype(np.dtype(helper.tensor_dtype_to_np_dtype(given["to"])))
    if node.op_type == "Transpose":
        return np.ascontiguousarray(np.transpose(operands[0], given.get("perm")))
    combine = np.multiply if node.op_type == "Mul" else np.add
    return np.asarray(combine(*operands))
