"""The values inside a codec's graph: how large each is for one sample, before anything is run.

A graph is followed node by node, with the number of samples set to 1 and to `MANY`. Every axis
must keep its length between the two, or grow in proportion, one axis of a value at most; so what a
value takes for one sample bounds what it takes for any number of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, TypeProto, defs, helper, numpy_helper, shape_inference

from engine.codec.graph_model import MAX_AXES, check_tensor
from engine.codec.operators import ITEM_BYTES, LARGEST_AXIS
from engine.codec.shape_arithmetic import MANY, Pair, evaluate, is_plain
from engine.errors import CorruptCodec, one_line

MAX_KNOWN_ELEMENTS = 1024
MAX_ELEMENTS = 1 << 40  # so that no arithmetic on shapes overflows, whatever memory is allowed

# Operands that say how large a result is, by position.
_SIZE_OPERANDS = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1,),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (2, 3),
    "Split": (1,),
    "Tile": (1,),
    "TopK": (1,),
}
_LIKE_FIRST = ("GroupNormalization",)  # ONNX has no rule for it


@dataclass(frozen=True)
class Value:
    """One value: its ONNX element type, and its shape for 1 and for `MANY` samples.

    `data` are its elements for 1 and `MANY` samples where they are few and known beforehand;
    `constant` if it depends on no input of the graph, so that it is computed at load.
    """

    name: str
    data_type: int
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    data: Pair | None = None
    constant: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes for one sample."""
        return math.prod(self.shapes[0]) * ITEM_BYTES[self.data_type]


def input_value(name: str, data_type: int, shape: Sequence[int | None]) -> Value:
    """An input of the graph; None stands for the number of samples."""
    shapes = tuple(tuple(n if size is None else size for size in shape) for n in (1, MANY))
    return Value(name, data_type, (shapes[0], shapes[1]))


def constant_value(tensor: TensorProto, name: str) -> Value:
    """A weight or constant that the graph holds."""
    shape = tuple(tensor.dims)
    data = None
    if math.prod(shape) <= MAX_KNOWN_ELEMENTS and tensor.data_type != TensorProto.BFLOAT16:
        array = numpy_helper.to_array(tensor)
        data = (array, array)
    return Value(name, tensor.data_type, (shape, shape), data, constant=True)


def infer_values(node: NodeProto, operands: Sequence[Value | None], opset: int) -> list[Value]:
    """The results of a node, in the order of its outputs; operands left out are None.

    Raises:
        CorruptCodec: their shapes can't be told beforehand, or contradict the module's rule.
    """
    if node.op_type == "Constant":
        return [_constant(node)]
    _check_operands(node, operands)
    first = _infer(node, operands, opset, 0)
    same = all(o is None or (o.shapes[0] == o.shapes[1] and is_plain(o.data)) for o in operands)
    many = first if same else _infer(node, operands, opset, 1)
    constant = all(o is None or o.constant for o in operands)
    values = []
    for name in filter(None, node.output):
        data_type, shapes = first[name][0], (first[name][1], many[name][1])
        _check_growth(name, shapes)
        values.append(Value(name, data_type, shapes, None, constant))
    return _with_data(node, operands, values, opset)


def _infer(
    node: NodeProto, operands: Sequence[Value | None], opset: int, case: int
) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Element type and shape of every result by name, from ONNX's own rules for one operator."""
    types, data = {}, {}
    for value in filter(None, operands):
        types[value.name] = helper.make_tensor_type_proto(value.data_type, value.shapes[case])
        if value.data is not None:
            data[value.name] = numpy_helper.from_array(value.data[case], value.name)
    if node.op_type in _LIKE_FIRST:
        inferred = {node.output[0]: types[node.input[0]]}
    else:
        try:
            schema = defs.get_schema(node.op_type, max_inclusive_version=opset, domain="")
            inferred = shape_inference.infer_node_outputs(schema, node, types, data)
        except Exception as error:  # the bindings raise types of their own
            raise CorruptCodec(f"{_where(node)} can't be: {one_line(error)[:200]}") from None
    return {name: _fixed(node, inferred.get(name)) for name in node.output if name}


def _fixed(node: NodeProto, found: TypeProto | None) -> tuple[int, tuple[int, ...]]:
    """Element type and shape of a result whose axes all have lengths."""
    tensor = None if found is None else found.tensor_type
    if tensor is None or tensor.elem_type not in ITEM_BYTES or not tensor.HasField("shape"):
        raise CorruptCodec(f"{_where(node)} has a result of unknown type or shape")
    if not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        raise CorruptCodec(
            f"{_where(node)} has a result whose shape depends on the data; a codec's graph must "
            f"say how large every value is"
        )
    shape = tuple(dim.dim_value for dim in tensor.shape.dim)
    if len(shape) > MAX_AXES or not all(0 <= size <= LARGEST_AXIS * MANY for size in shape):
        raise CorruptCodec(f"{_where(node)} has a result of absurd shape {shape[:MAX_AXES]}")
    return tensor.elem_type, shape


def _check_growth(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    one, many = shapes
    grown = [axis for axis, pair in enumerate(zip(one, many, strict=False)) if pair[0] != pair[1]]
    if (
        len(one) != len(many)
        or len(grown) > 1
        or any(many[axis] != MANY * one[axis] for axis in grown)
        or max(one, default=0) > LARGEST_AXIS
        or math.prod(one) > MAX_ELEMENTS
    ):
        raise CorruptCodec(
            f"the value {name[:99]!r} has shape {one} for 1 sample and {many} for {MANY}; one axis "
            f"of at most {LARGEST_AXIS} may grow in proportion, the others must stay"
        )


def _check_operands(node: NodeProto, operands: Sequence[Value | None]) -> None:
    """Refuse what would overflow or trap in arithmetic on shapes, here or in a runtime."""
    if node.op_type in _LIKE_FIRST and (not operands or operands[0] is None):
        raise CorruptCodec(f"{_where(node)} lacks its operand")
    for position in _SIZE_OPERANDS.get(node.op_type, ()):
        value = operands[position] if position < len(operands) else None
        if value is not None and not all(map(_are_sizes, value.data or ())):
            raise CorruptCodec(f"{_where(node)} asks for sizes beyond {LARGEST_AXIS}")
    if node.op_type == "Range":
        _check_range(node, operands)
    if node.op_type in ("Div", "Mod") and len(operands) > 1:
        _check_divisor(node, operands[1])


def _are_sizes(data: NDArray[Any]) -> bool:
    largest = LARGEST_AXIS * MANY
    return (
        bool((np.isfinite(data) & (data >= -largest) & (data <= largest)).all())
        and math.prod(max(1, abs(int(size))) for size in data.flat) <= MAX_ELEMENTS * MANY
    )


def _check_range(node: NodeProto, operands: Sequence[Value | None]) -> None:
    bounds = [o.data[0] for o in operands if o is not None and o.data is not None]
    if len(bounds) != 3 or not all(bound.size == 1 for bound in bounds):
        raise CorruptCodec(f"{_where(node)} has bounds that depend on the data")
    start, limit, step = (float(bound.item()) for bound in bounds)
    if step == 0 or not abs((limit - start) / step) <= LARGEST_AXIS:
        raise CorruptCodec(f"{_where(node)} asks for sizes beyond {LARGEST_AXIS}")


def _check_divisor(node: NodeProto, divisor: Value | None) -> None:
    """The most negative integer, divided by -1, ends the process."""
    if divisor is None or np.dtype(_numpy_type(divisor.data_type)).kind not in "iu":
        return
    if divisor.data is None or not all(bool((data > 0).all()) for data in divisor.data):
        raise CorruptCodec(f"{_where(node)} divides integers by what isn't known to be above 0")


def _with_data(
    node: NodeProto, operands: Sequence[Value | None], values: list[Value], opset: int
) -> list[Value]:
    """Add the elements of a single small result, where they follow from those of the operands."""
    if len(values) != 1 or math.prod(values[0].shapes[1]) > MAX_KNOWN_ELEMENTS:
        return values
    value = values[0]
    dtype = _numpy_type(value.data_type)
    if node.op_type == "Shape":
        data = _shape_data(node, operands[0])
    else:
        data = evaluate(node, [None if o is None else o.data for o in operands], dtype, opset)
    return [Value(value.name, value.data_type, value.shapes, data, value.constant)]


def _shape_data(node: NodeProto, value: Value | None) -> Pair | None:
    given = {attribute.name: attribute.i for attribute in node.attribute}
    axes = slice(given.get("start"), given.get("end"))
    if value is None:
        return None
    return np.array(value.shapes[0][axes], int), np.array(value.shapes[1][axes], int)


def _constant(node: NodeProto) -> Value:
    if len(node.attribute) != 1 or len(node.output) != 1:
        raise CorruptCodec(f"{_where(node)} must have one attribute and one result")
    attribute = node.attribute[0]
    if attribute.name == "value" and attribute.HasField("t"):
        return constant_value(attribute.t, node.output[0])
    kinds = {"value_int": "i", "value_ints": "ints", "value_float": "f", "value_floats": "floats"}
    if attribute.name not in kinds:
        raise CorruptCodec(f"{_where(node)} doesn't hold numbers")
    held = getattr(attribute, kinds[attribute.name])
    dtype = np.int64 if "int" in attribute.name else np.float32
    tensor = numpy_helper.from_array(np.array(held, dtype), node.output[0])
    check_tensor(tensor)
    return constant_value(tensor, node.output[0])


def _numpy_type(data_type: int) -> np.dtype[Any]:
    dtype: np.dtype[Any] = helper.tensor_dtype_to_np_dtype(data_type)
    return dtype


def _where(node: NodeProto) -> str:
    return f"the node {node.op_type} of {(node.output[0] if node.output else '')[:99]!r}"
