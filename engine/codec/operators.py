"""Which ONNX operators a codec's graphs are made of, and which attributes these may have."""

from __future__ import annotations

import re

from onnx import AttributeProto, NodeProto, TensorProto

from engine.errors import CorruptCodec

LARGEST_AXIS = 1 << 30
"""Longest axis of any value, and largest integer that says how long one is."""

ALLOWED_OPERATORS = frozenset(
    [
        "Abs",
        "Acos",
        "Acosh",
        "Add",
        "And",
        "ArgMax",
        "ArgMin",
        "Asin",
        "Asinh",
        "Atan",
        "Atanh",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "CastLike",
        "Ceil",
        "Celu",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Conv",
        "ConvTranspose",
        "Cos",
        "Cosh",
        "CumSum",
        "DepthToSpace",
        "Div",
        "Dropout",
        "Einsum",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Expand",
        "Flatten",
        "Floor",
        "GRU",
        "Gather",
        "GatherElements",
        "GatherND",
        "Gelu",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Greater",
        "GreaterOrEqual",
        "GroupNormalization",
        "HardSigmoid",
        "HardSwish",
        "Hardmax",
        "Identity",
        "InstanceNormalization",
        "IsInf",
        "IsNaN",
        "LRN",
        "LSTM",
        "LayerNormalization",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "LogSoftmax",
        "LpNormalization",
        "LpPool",
        "MatMul",
        "Max",
        "MaxPool",
        "Mean",
        "Min",
        "Mish",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "OneHot",
        "Or",
        "PRelu",
        "Pad",
        "Pow",
        "RMSNormalization",
        "Range",
        "Reciprocal",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
        "Relu",
        "Reshape",
        "Resize",
        "Round",
        "ScatterElements",
        "ScatterND",
        "Selu",
        "Shape",
        "Sigmoid",
        "Sign",
        "Sin",
        "Sinh",
        "Size",
        "Slice",
        "Softmax",
        "Softplus",
        "Softsign",
        "SpaceToDepth",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tan",
        "Tanh",
        "ThresholdedRelu",
        "Tile",
        "TopK",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
        "Xor",
    ]
)
"""Deterministic operators whose results have shapes that follow from those of their operands."""

ITEM_BYTES = {
    TensorProto.BOOL: 1,
    TensorProto.INT8: 1,
    TensorProto.UINT8: 1,
    TensorProto.INT16: 2,
    TensorProto.UINT16: 2,
    TensorProto.FLOAT16: 2,
    TensorProto.BFLOAT16: 2,
    TensorProto.INT32: 4,
    TensorProto.UINT32: 4,
    TensorProto.FLOAT: 4,
    TensorProto.INT64: 8,
    TensorProto.UINT64: 8,
    TensorProto.DOUBLE: 8,
}
"""Bytes of one element of each type that values may have."""

_POSITIVE = frozenset(
    [
        "blocksize",
        "dilations",
        "group",
        "hidden_size",
        "kernel_shape",
        "num_groups",
        "num_outputs",
        "strides",
    ]
)
_TRAINING = "training_mode"
_PLAIN_KINDS = frozenset(("i", "f", "s", "t", "ints", "floats", "strings"))
_KIND_FIELDS = frozenset((*_PLAIN_KINDS, "g", "graphs", "tensors", "tp", "type_protos"))
_KIND_FIELDS |= {"sparse_tensor", "sparse_tensors"}
# Shape inference never ends on some other equations, and runtimes share that code.
_EQUATION = re.compile(rb"([a-z]+)(?:,([a-z]+))?->([a-z]*)")


def check_node(node: NodeProto) -> None:
    """Refuse a node that isn't one of the allowed operators with plain attributes.

    Raises:
        CorruptCodec: says which operator or attribute, and what is expected.
    """
    if node.domain not in ("", "ai.onnx") or node.op_type not in ALLOWED_OPERATORS:
        raise CorruptCodec(
            f"operator {node.op_type[:99]!r} of domain {node.domain[:99] or 'ai.onnx'!r} is not "
            f"allowed in a codec; export the network with the operators that docs/format.md lists"
        )
    names = [attribute.name for attribute in node.attribute]
    if len(set(names)) < len(names):
        raise CorruptCodec(f"{node.op_type} has an attribute twice")
    for attribute in node.attribute:
        _check_attribute(node.op_type, attribute)
    if node.op_type == "Dropout" and len(node.input) > 2:
        raise CorruptCodec("Dropout in training mode is not allowed in a codec: it is random")
    if node.op_type == "Einsum":
        _check_equation(node)


def _check_attribute(op_type: str, attribute: AttributeProto) -> None:
    """Plain values only, with integers that no arithmetic on shapes can make overflow."""
    what = f"attribute {attribute.name[:99]!r} of {op_type}"
    given = {field.name for field, _ in attribute.ListFields()} & _KIND_FIELDS
    if not given <= _PLAIN_KINDS or attribute.ref_attr_name:
        raise CorruptCodec(f"{what} holds more than numbers, text or a tensor")
    if attribute.name == _TRAINING and attribute.i != 0:
        raise CorruptCodec(f"{what} is {attribute.i}: codecs hold networks in inference mode")
    smallest = -LARGEST_AXIS
    if attribute.name in _POSITIVE:
        smallest = 1
    elif attribute.name == "pads":
        smallest = 0
    values = (*attribute.ints, attribute.i) if "i" in given else tuple(attribute.ints)
    if op_type != "Constant" and not all(smallest <= i <= LARGEST_AXIS for i in values):
        raise CorruptCodec(f"{what} is beyond {smallest} ... {LARGEST_AXIS}")


def _check_equation(node: NodeProto) -> None:
    """One or two operands without diagonals, so that nothing larger than these is in between."""
    found = [_EQUATION.fullmatch(bytes(a.s).replace(b" ", b"")) for a in node.attribute]
    terms = [term for match in found if match for term in match.groups() if term is not None]
    if not terms or any(len(set(term)) < len(term) for term in terms):
        raise CorruptCodec(
            "the equation of Einsum must be of one or two operands, such as 'ab,bc->ac', without "
            "an ellipsis and without an index twice in one term"
        )
