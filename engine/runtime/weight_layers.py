"""The layers of a network that multiply by a weight, and what their inputs are like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from engine.runtime.codec import batches
from engine.runtime.observed_network import ObservedNetwork

LEAST_ELEMENTS = 64
"""Fewer are not worth the nodes that make them float32."""

_MOST_INPUTS = 2048
_ROWS = 1 << 16


@dataclass(frozen=True)
class WeightLayer:
    """A layer that multiplies its input by a weight that no other node uses.

    `weight` and `value` name the weight and what it is multiplied with, `axis` is the axis of the
    weight that meets the channels of `value`, which are its axis `channels`. `bias` names what is
    added to each channel of the output, where it is a weight.
    """

    weight: str
    value: str
    axis: int
    channels: int
    bias: str | None = None


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """Mean `(n,)` and second moments `(n, n)` of a layer's inputs; about the mean if `centred`."""

    mean: NDArray[np.float64]
    moments: NDArray[np.float64]
    centred: bool


def weight_layers(model: ModelProto, weights: Mapping[str, NDArray[Any]]) -> list[WeightLayer]:
    """The layers whose weight is one of `weights`, neither tiny nor of more than 2048 inputs."""
    used = Counter(name for node in model.graph.node for name in node.input)
    made = {name for node in model.graph.node for name in node.output}
    own = {name for name in weights if used[name] == 1}
    layers = []
    for node in model.graph.node:
        if len(node.input) < 2 or node.input[0] not in made or node.input[1] not in own:
            continue
        weight = weights[node.input[1]]
        axes = _axes(node, weight.ndim)
        if axes is None or weight.size < LEAST_ELEMENTS or weight.shape[axes[0]] > _MOST_INPUTS:
            continue
        layers.append(
            WeightLayer(node.input[1], node.input[0], *axes, _bias(node, axes[0], weights, own))
        )
    return layers


def observe_inputs(
    model: ModelProto, layers: Sequence[WeightLayer], inputs: NDArray[Any], batch: int
) -> dict[str, LayerInputs]:
    """What the layers see, by their weights, when the network runs over `inputs` `(n, *shape)`."""
    if not layers:  # of networks so small that none of their weights are narrowed
        return {}
    observed = ObservedNetwork(model, [layer.value for layer in layers])
    sums: dict[str, tuple[int, Any, Any]] = {layer.weight: (0, 0.0, 0.0) for layer in layers}
    rows = max(1, _ROWS * batch // len(inputs))
    for start, stop in batches(len(inputs), batch):
        values = observed(inputs[start:stop])
        for layer in layers:
            channels = _channels_last(values[layer.value], layer.channels, rows)
            count, first, second = sums[layer.weight]
            sums[layer.weight] = (
                count + len(channels),
                first + channels.sum(axis=0),
                second + channels.T @ channels,
            )
    return {layer.weight: _moments(layer, *sums[layer.weight]) for layer in layers}


def _axes(node: NodeProto, rank: int) -> tuple[int, int] | None:
    """The axis of the weight, and that of the input, along which a node sums up products."""
    given = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    if node.op_type == "MatMul" and rank == 2:
        return 0, -1
    if node.op_type == "Gemm" and not given.get("transA", 0):
        if given.get("alpha", 1) != 1 or given.get("beta", 1) != 1:
            return None
        return (1 if given.get("transB", 0) else 0), -1
    if node.op_type in ("Conv", "ConvTranspose") and given.get("group", 1) == 1:
        return (1 if node.op_type == "Conv" else 0), 1
    return None


def _bias(
    node: NodeProto, axis: int, weights: Mapping[str, NDArray[Any]], own: set[str]
) -> str | None:
    """What can make up for a change of the outputs' mean; at edges, convolutions see padding."""
    name = node.input[2] if node.op_type == "Gemm" and len(node.input) > 2 else ""
    if name in own and weights[name].size == weights[node.input[1]].shape[1 - axis]:
        return name
    return None


def _channels_last(values: NDArray[Any], axis: int, rows: int) -> NDArray[np.float64]:
    """Some of the values as rows `(m, channels)`, about `rows` of them."""
    flat = np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])
    return flat[:: -(-len(flat) // rows)].astype(np.float64)


def _moments(layer: WeightLayer, count: int, first: Any, second: Any) -> LayerInputs:
    centred = layer.bias is not None
    mean = first / count
    moments = second / count - (np.outer(mean, mean) if centred else 0.0)
    return LayerInputs(mean, moments, centred)
