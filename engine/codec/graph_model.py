"""The ONNX model of a codec's graph as a message: parsed within bounds, free of what may harm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from engine.codec.operators import ITEM_BYTES, LARGEST_AXIS, check_node
from engine.errors import CorruptCodec

MAX_FIELDS = 1_000_000
MAX_RESULTS = 10_000
MAX_AXES = 16
IR_VERSIONS = range(4, 11)
OPSETS = range(13, 24)

_TENSOR_FIELDS = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
}
_PACKED_FIELDS = ("float_data", "double_data", "int32_data", "int64_data", "uint64_data")
_UNUSED_PARTS = {
    "functions": "functions",
    "training_info": "training information",
    "sparse_initializer": "sparse weights",
    "quantization_annotation": "quantisation annotations",
}


def parse_model(content: bytes) -> ModelProto:
    """Parse a model and check every part of it but the shapes of its values.

    Raises:
        CorruptCodec: it isn't ONNX, or holds what a codec's graph may not hold.
    """
    _check_field_count(content)
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except Exception:  # protobuf raises types of its own
        raise CorruptCodec("it is not an ONNX model") from None
    _check_parts(model)
    check_self_contained(model)
    return model


def check_self_contained(model: ModelProto) -> None:
    """Refuse operators that no codec is made of, and weights that lie elsewhere.

    Raises:
        CorruptCodec: names the node or tensor.
    """
    for tensor in model.graph.initializer:
        check_tensor(tensor)
    for node in model.graph.node:
        check_node(node)
        for attribute in node.attribute:
            if attribute.HasField("t"):
                check_tensor(attribute.t)


def opset_version(model: ModelProto) -> int:
    """Version of the default operator set.

    Raises:
        CorruptCodec: it isn't one of `OPSETS`, or stated twice.
    """
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(versions) != 1 or versions[0] not in OPSETS:
        raise CorruptCodec(
            f"it has the default operator sets {versions[:9]}, expected one "
            f"of {OPSETS.start} to {OPSETS.stop - 1}"
        )
    return int(versions[0])


def check_value(value: ValueInfoProto, name: str, dtype: np.dtype[Any], shape: Any) -> None:
    """Compare an input or output with what it must be; None in `shape` is a free axis.

    Raises:
        CorruptCodec: it has another name, type or shape.
    """
    tensor = value.type.tensor_type
    found = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
    expected = (name, int(helper.np_dtype_to_tensor_dtype(dtype)), tuple(shape))
    if (value.name, tensor.elem_type, found) != expected:
        raise CorruptCodec(
            f"expected {name} as {dtype} of shape {_text(expected[2])}, found {value.name[:99]!r} "
            f"as {_type_name(tensor.elem_type)} of shape {_text(found)}"
        )


def check_tensor(tensor: TensorProto) -> None:
    """Refuse a tensor that isn't whole in the message itself.

    Raises:
        CorruptCodec: its elements lie elsewhere, are too few or many, or have an unknown type.
    """
    what = f"the tensor {tensor.name[:99]!r}"
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        raise CorruptCodec(
            f"{what} keeps its data in another file (external data); "
            f"export with external_data=False"
        )
    if tensor.data_type not in ITEM_BYTES or tensor.HasField("segment") or tensor.string_data:
        raise CorruptCodec(f"{what} doesn't hold numbers ({_type_name(tensor.data_type)})")
    if len(tensor.dims) > MAX_AXES or not all(0 <= size <= LARGEST_AXIS for size in tensor.dims):
        raise CorruptCodec(f"{what} has a shape that no array has: {_text(tensor.dims)}")
    elements = math.prod(tensor.dims)
    held: dict[str, float] = {field: len(getattr(tensor, field)) for field in _PACKED_FIELDS}
    found = held.pop(_TENSOR_FIELDS.get(tensor.data_type, "int32_data"))
    if tensor.HasField("raw_data"):
        held["packed"], found = found, len(tensor.raw_data) / ITEM_BYTES[tensor.data_type]
    if found != elements or any(held.values()):
        raise CorruptCodec(f"{what} of shape {_text(tensor.dims)} holds {found:g} elements")


def _check_parts(model: ModelProto) -> None:
    for part, called in _UNUSED_PARTS.items():
        if getattr(model if hasattr(model, part) else model.graph, part):
            raise CorruptCodec(f"it has {called}, which a codec's graph may not have")
    if model.ir_version not in IR_VERSIONS:
        raise CorruptCodec(
            f"it has IR version {model.ir_version}, expected "
            f"{IR_VERSIONS.start} to {IR_VERSIONS.stop - 1}"
        )
    results = sum(max(1, len(node.output)) for node in model.graph.node)
    if results > MAX_RESULTS:
        raise CorruptCodec(f"its nodes have {results} results, at most {MAX_RESULTS} may be")
    _check_names(model)


def _check_names(model: ModelProto) -> None:
    """Every value is made once, before it is used."""
    made: set[str] = set()

    def make(names: Any) -> None:
        for name in names:
            if name in made:
                raise CorruptCodec(f"two values have the name {name[:99]!r}")
            made.add(name)

    make(value.name for value in model.graph.input)
    make(tensor.name for tensor in model.graph.initializer)
    for node in model.graph.node:
        _check_operands(node, made)
        make(name for name in node.output if name)


def _check_operands(node: NodeProto, made: set[str]) -> None:
    for name in node.input:
        if name and name not in made:
            raise CorruptCodec(f"{node.op_type[:99]} uses {name[:99]!r} before it is made")


def _check_field_count(content: bytes) -> None:
    """Refuse bytes that would fill memory with tiny messages, before they become objects.

    Source: the wire format of protocol buffers, https://protobuf.dev/programming-guides/encoding/.
    """
    fields, parts = 0, [(0, len(content), ModelProto.DESCRIPTOR)]
    while parts:
        at, stop, message = parts.pop()
        while at < stop:
            key, at = _varint(content, at)
            number, wire_type = key >> 3, key & 7
            fields += 1
            if wire_type == 0:
                _, at = _varint(content, at)
            elif wire_type == 2:
                size, at = _varint(content, at)
                field = message.fields_by_number.get(number)
                if field is not None and field.message_type is not None:
                    parts.append((at, at + size, field.message_type))
                elif field is not None and field.type in (
                    field.TYPE_INT32,
                    field.TYPE_INT64,
                    field.TYPE_UINT64,
                ):
                    fields += size >> 5  # packed integers grow eightfold, not a hundredfold
                at += size
            else:
                at += {1: 8, 5: 4}.get(wire_type, stop)
            if fields > MAX_FIELDS:
                raise CorruptCodec(f"it has more than {MAX_FIELDS} fields")
        if at != stop:
            raise CorruptCodec("it is not an ONNX model")


def _varints(field: Any) -> tuple[int, ...]:
    return (field.TYPE_INT32, field.TYPE_INT64, field.TYPE_UINT64)


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """The number at an offset, and the offset after it; 0 past the end, where parsing fails."""
    value = shift = 0
    for offset in range(at, min(at + 10, len(content))):
        value |= (content[offset] & 127) << shift
        if content[offset] < 128:
            return value, offset + 1
        shift += 7
    raise CorruptCodec("it is not an ONNX model")


def _type_name(data_type: int) -> str:
    known = data_type in TensorProto.DataType.values()
    return TensorProto.DataType.Name(data_type).lower() if known else f"type {data_type}"


def _text(shape: Any) -> str:
    sizes = ["any" if size is None else str(size) for size in shape[:MAX_AXES]]
    return "(" + ", ".join([*sizes, *["..."] * (len(shape) > MAX_AXES)]) + ")"
