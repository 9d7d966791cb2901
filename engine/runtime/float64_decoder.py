"""A decoder evaluated in float64: the number that float32 runs anywhere are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from engine.runtime.codec import batches
from engine.runtime.float64_operators import OPERATORS

_BATCH_ELEMENTS = 1 << 18
_NARROW = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_SHAPE_ONLY = ("Shape", "Size")
_RANDOM = (
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
)
# Small changes of their inputs change their outputs little, whatever the input.
# fmt: off
_CONTINUOUS = frozenset((
    "Abs", "Add", "BatchNormalization", "Celu", "Clip", "Concat", "Conv", "ConvTranspose", "Cos",
    "Cosh", "CumSum", "DepthToSpace", "Div", "Einsum", "Elu", "Erf", "Exp", "Expand", "Flatten",
    "Gather", "GatherElements", "GatherND", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool",
    "GroupNormalization", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization",
    "LayerNormalization", "LeakyRelu", "Log", "LogSoftmax", "LpNormalization", "MatMul", "Max",
    "Mean", "Min", "Mish", "Mul", "Neg", "PRelu", "Pad", "Pow", "RMSNormalization", "Reciprocal",
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Resize", "Selu",
    "Sigmoid", "Sin", "Sinh", "Slice", "Softmax", "Softplus", "Softsign", "SpaceToDepth", "Split",
    "Sqrt", "Squeeze", "Sub", "Sum", "Swish", "Tanh", "Tile", "Transpose", "Unsqueeze", "Upsample",
    "Where",
))
# fmt: on


def discontinuity(content: bytes) -> str | None:
    """Why rounding errors may turn into large differences in a decoder, or None.

    Every operator between latents and output must be known to be continuous.
    """
    model = onnx.load_model_from_string(content)
    reached = {value.name for value in model.graph.input} - {"step"}
    for node in model.graph.node:
        if node.op_type in _RANDOM or any(a.type == AttributeProto.GRAPH for a in node.attribute):
            return f"its decoder has the operator {node.op_type}"
        if reached.isdisjoint(node.input) or node.op_type in _SHAPE_ONLY:
            continue
        if node.domain not in ("", "ai.onnx") or not _is_continuous(node):
            return f"its decoder has {node.op_type} between latents and output"
        reached.update(node.output)
    return None


def evaluate_float64(
    content: bytes, latents: NDArray[Any], step: float, sample_elements: int
) -> NDArray[np.float64]:
    """Output `(n, sample_elements)` of a decoder for latents `(n, *latent_shape)`, in float64.

    Raises whatever onnx's evaluator raises where it can't run the graph.
    """
    model = onnx.load_model_from_string(content)
    _widen(model)
    evaluator = ReferenceEvaluator(model, new_ops=OPERATORS)
    name = next(value.name for value in model.graph.input if value.name != "step")
    scale = np.array([step], np.float32).astype(np.float64)
    result = np.empty((len(latents), sample_elements))
    for start, stop in batches(len(latents), max(1, _BATCH_ELEMENTS // sample_elements)):
        with np.errstate(all="ignore"):
            found = evaluator.run(None, {name: latents[start:stop], "step": scale})[0]
        result[start:stop] = found.reshape(stop - start, sample_elements)
    return result


def _is_continuous(node: NodeProto) -> bool:
    if node.op_type == "Cast":
        target = next(a.i for a in node.attribute if a.name == "to")
        return target in (TensorProto.FLOAT, TensorProto.DOUBLE)
    return node.op_type in _CONTINUOUS


def _widen(model: ModelProto) -> None:
    """Turn every narrower float of a graph into float64."""
    graph = model.graph
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type in _NARROW:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in (*graph.initializer, *_constants(graph.node)):
        if tensor.data_type in _NARROW:
            wide = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _NARROW:
                attribute.i = TensorProto.DOUBLE


def _constants(nodes: Any) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
