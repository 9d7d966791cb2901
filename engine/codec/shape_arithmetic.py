"""The numbers that a graph computes from shapes, for 1 sample and for many of them.

An element that depends on the number of samples does so in proportion, or it counts as unknown:
only operators that can't hide another dependence are followed for such elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

Pair = tuple[NDArray[Any], NDArray[Any]]
"""Elements of a value for 1 sample, and for `MANY`."""

MANY = 4096
"""The larger number of samples; no batch of ours has more."""

_EXACT = frozenset(
    [
        "Abs",
        "Add",
        "Cast",
        "Ceil",
        "Concat",
        "ConstantOfShape",
        "Div",
        "Equal",
        "Expand",
        "Floor",
        "Gather",
        "Greater",
        "Identity",
        "Less",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Range",
        "ReduceProd",
        "Reshape",
        "Slice",
        "Squeeze",
        "Sub",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)
# The operands that may depend on the number of samples: never positions, axes or conditions.
_PROPORTIONAL = {
    "Abs": (0,),
    "Add": (0, 1),
    "Cast": (0,),
    "Concat": range(MANY),
    "Equal": (0, 1),
    "Expand": (0,),
    "Gather": (0,),
    "Identity": (0,),
    "Mul": (0, 1),
    "ReduceProd": (0,),
    "Reshape": (0,),
    "Slice": (0,),
    "Squeeze": (0,),
    "Transpose": (0,),
    "Unsqueeze": (0,),
    "Where": (1, 2),
}
_OF_NUMBERS_FROM_0 = ("Abs", "Add", "Mul", "ReduceProd")


def evaluate(
    node: NodeProto, operands: Sequence[Pair | None], dtype: np.dtype[Any], opset: int
) -> Pair | None:
    """Elements of a node's only result, or None where they can't be known beforehand.

    `operands` are in the order of the node's inputs; None is one that is unknown or left out.
    """
    known = [pair for pair in operands if pair is not None]
    if node.op_type not in _EXACT or len(known) < sum(map(bool, node.input)):
        return None
    dependent = [k for k, pair in enumerate(operands) if not is_plain(pair)]
    if dependent and not _stays_in_proportion(node.op_type, dependent, known):
        return None
    one = _run(node, operands, 0, opset)
    many = _run(node, operands, 1, opset) if dependent else one
    if one is None or many is None or (one.dtype, many.dtype) != (dtype, dtype):
        return None
    in_proportion = one.shape == many.shape and ((many == one) | (many == MANY * one)).all()
    return (one, many) if not dependent or in_proportion else None


def is_plain(pair: Pair | None) -> bool:
    """Whether elements, where they are known, are the same for any number of samples."""
    return pair is None or pair[0] is pair[1] or np.array_equal(*pair)


def _stays_in_proportion(op_type: str, dependent: Sequence[int], known: Sequence[Pair]) -> bool:
    if not set(dependent) <= set(_PROPORTIONAL.get(op_type, ())):
        return False
    if op_type in _OF_NUMBERS_FROM_0:
        return all(bool((data >= 0).all()) for pair in known for data in pair)
    return op_type != "Equal" or _is_decided(*known)


def _is_decided(left: Pair, right: Pair) -> bool:
    """Whether all that depends on the number of samples is compared with what is below 0."""
    varying = left[0] != left[1]
    below = ~varying | ((left[0] >= 0) & (right[0] < 0))
    return is_plain(right) and bool(below.all())


def _run(
    node: NodeProto, operands: Sequence[Pair | None], case: int, opset: int
) -> NDArray[Any] | None:
    """The result of one node by ONNX's reference implementation, or None where it fails."""
    from onnx.reference import ReferenceEvaluator

    feeds = {
        name: pair[case]
        for name, pair in zip(node.input, operands, strict=True)
        if name and pair is not None
    }
    model = helper.make_model(
        helper.make_graph(
            [node],
            "node",
            [helper.make_empty_tensor_value_info(name) for name in feeds],
            [helper.make_empty_tensor_value_info(node.output[0])],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
    )
    with np.errstate(all="ignore"):
        try:
            return np.asarray(ReferenceEvaluator(model).run(None, feeds)[0])
        except Exception:  # what the reference can't do is unknown, and asked for nowhere
            return None
