"""Memory that an operator works with besides its operands and results."""

from __future__ import annotations

import math
from collections.abc import Sequence

from onnx import NodeProto, TensorProto

from engine.codec.graph_values import Value
from engine.codec.operators import ITEM_BYTES

_RECURRENT = ("GRU", "LSTM")


def workspace_bytes(
    node: NodeProto, operands: Sequence[Value | None], made: Sequence[Value]
) -> int:
    """Bytes for one sample: copies in another layout, or several where one node stands for a few,
    and what convolutions and recurrences unfold."""
    present = [value for value in operands if value is not None and not value.constant]
    return sum(value.size_bytes for value in (*present, *made)) + _unfolded(node, operands, made)


def _unfolded(node: NodeProto, operands: Sequence[Value | None], made: Sequence[Value]) -> int:
    if node.op_type not in ("Conv", "ConvTranspose", *_RECURRENT):
        return 0
    data, weights = operands[0], operands[1]
    if data is None or weights is None:
        return 0
    item_bytes = ITEM_BYTES[data.data_type]
    (samples, *axes), (rows, *window) = data.shapes[0], weights.shapes[0]
    if node.op_type in _RECURRENT:
        return item_bytes * samples * axes[0] * rows * window[0]
    if node.op_type == "ConvTranspose":
        return item_bytes * math.prod(window) * math.prod(axes[1:])
    # onnxruntime unfolds float32 convolutions piece by piece, others as a whole.
    in_pieces = data.data_type == TensorProto.FLOAT
    return 0 if in_pieces else item_bytes * math.prod(window) * math.prod(made[0].shapes[0][2:])
