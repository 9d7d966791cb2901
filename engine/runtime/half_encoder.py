"""An encoder whose network computes in float16, made of a codec's float32 one.

Only the network does: scaling in front of it and the quantiser behind it stay float32, since they
decide which integer a latent becomes.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
)

from engine.codec.graph import NETWORK_PREFIX
from engine.codec.narrow_weights import widened
from engine.errors import EngineError
from engine.runtime.session import Network

_LARGEST = float(np.finfo(np.float16).max)


def half_encoder(content: bytes) -> bytes | None:
    """An encoder like `content`; None where its network can't be told apart, or held in float16."""
    model = widened(onnx.load_model_from_string(content))
    inside = [node for node in model.graph.node if node.output[0].startswith(NETWORK_PREFIX)]
    nested = any(a.type == AttributeProto.GRAPH for node in inside for a in node.attribute)
    if not inside or nested or not _halve_weights(model.graph, inside):
        return None
    casts = (node for node in inside if node.op_type == "Cast")
    for target in (entry for node in casts for entry in node.attribute if entry.name == "to"):
        target.i = TensorProto.FLOAT16 if target.i == TensorProto.FLOAT else target.i
    _cast_between(model.graph, inside)
    del model.graph.value_info[:]
    return _loadable(model)


def _halve_weights(graph: GraphProto, inside: list[NodeProto]) -> bool:
    """Store the network's float32 constants as float16; whether all of them fit."""
    used = {name for node in inside for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in used]
    tensors += [a.t for node in inside for a in node.attribute if a.type == AttributeProto.TENSOR]
    for tensor in tensors:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if not (np.abs(values) <= _LARGEST).all():
            return False
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    return True


def _cast_between(graph: GraphProto, inside: list[NodeProto]) -> None:
    """Cast what enters the network to float16, and what leaves it back to float32."""
    made = {name for node in inside for name in node.output}
    known = {tensor.name for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    cast: dict[str, str] = {}

    def through_cast(name: str, suffix: str, data_type: int) -> str:
        if name not in cast:
            cast[name] = f"{name}_{suffix}"
            nodes.append(helper.make_node("Cast", [name], [cast[name]], cast[name], to=data_type))
        return cast[name]

    for node in graph.node:
        within = node.output[0] in made
        suffix, to = ("half", TensorProto.FLOAT16) if within else ("single", TensorProto.FLOAT)
        for index, name in enumerate(node.input):
            if name and name not in known and (name in made) != within:
                node.input[index] = through_cast(name, suffix, to)
        nodes.append(node)
    ordered = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(ordered)


def _loadable(model: ModelProto) -> bytes | None:
    """The model as bytes, if its types agree."""
    content = bytes(model.SerializeToString(deterministic=True))
    try:
        Network(content, "cpu", 1)
    except EngineError:  # some operators take float32 alone
        return None
    return content
