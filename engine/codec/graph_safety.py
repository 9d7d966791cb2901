"""Graphs of strangers, checked before any runtime sees them.

A graph that passes holds its weights in itself, is made of standard deterministic operators, takes
and returns what the manifest says, and needs no more memory than was allowed. Follows
docs/format.md, section 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto

from engine.codec.graph_model import check_value, opset_version, parse_model
from engine.codec.graph_values import Value, constant_value, infer_values, input_value
from engine.codec.live_memory import Step, peak_bytes
from engine.codec.manifest import Manifest
from engine.codec.workspace import workspace_bytes
from engine.errors import CorruptCodec
from engine.limits import DEFAULT_MEMORY_LIMIT, memory_problem

_SESSION_COPIES = 2  # a runtime packs weights anew beside those that it was given


@dataclass(frozen=True)
class GraphMemory:
    """A bound on the memory of a graph, in bytes: once it is loaded, and per sample of a run."""

    loaded_bytes: int
    sample_bytes: int


def check_encoder(
    content: bytes, manifest: Manifest, max_memory_bytes: int = DEFAULT_MEMORY_LIMIT
) -> GraphMemory:
    """Check the graph that maps samples to latents; see `check_decoder`."""
    sample, latent = manifest.sample, manifest.latent
    takes = ("x", sample.dtype, (None, *sample.shape))
    gives = ("latents", latent.dtype, (None, *latent.shape))
    return _check(content, takes, gives, max_memory_bytes)


def check_decoder(
    content: bytes, manifest: Manifest, max_memory_bytes: int = DEFAULT_MEMORY_LIMIT
) -> GraphMemory:
    """Check the graph that maps latents to reconstructions.

    Raises:
        CorruptCodec: it could harm, isn't what the manifest says, or needs more than
            `max_memory_bytes` to be loaded and run on one sample.
    """
    sample, latent = manifest.sample, manifest.latent
    takes = ("latents", latent.dtype, (None, *latent.shape))
    gives = ("reconstruction", sample.working_dtype, (None, *sample.shape))
    return _check(content, takes, gives, max_memory_bytes)


_Signature = tuple[str, np.dtype[Any], tuple[int | None, ...]]


def _check(content: bytes, takes: _Signature, gives: _Signature, limit_bytes: int) -> GraphMemory:
    _check_memory("the graph", len(content) * _SESSION_COPIES, limit_bytes)
    model = parse_model(content)
    opset = opset_version(model)
    inputs, outputs = model.graph.input, model.graph.output
    if len(inputs) != 2 or len(outputs) != 1:
        raise CorruptCodec(
            f"expected the inputs {takes[0]} and step and the output {gives[0]}, "
            f"found {len(inputs)} inputs and {len(outputs)} outputs"
        )
    given, step = sorted(inputs, key=lambda value: value.name == "step")
    check_value(given, *takes)
    check_value(step, "step", np.dtype(np.float32), (1,))
    check_value(outputs[0], *gives)
    trace = _Trace(
        input_value(given.name, given.type.tensor_type.elem_type, takes[2]),
        input_value(step.name, TensorProto.FLOAT, (1,)),
        *(constant_value(tensor, tensor.name) for tensor in model.graph.initializer),
    )
    for node in model.graph.node:
        trace.follow(node, opset)
    for declared in (*model.graph.value_info, outputs[0]):
        trace.check_declared(declared)
    memory = trace.memory(len(content) * _SESSION_COPIES)
    _check_memory("the graph, loaded and run on one sample,", sum(astuple(memory)), limit_bytes)
    return memory


def _check_memory(what: str, size_bytes: int, limit_bytes: int) -> None:
    if problem := memory_problem(what, size_bytes, limit_bytes):
        raise CorruptCodec(problem)


class _Trace:
    """The values of a graph in the order that they are made, and the steps between them."""

    def __init__(self, *given: Value) -> None:
        self.values = list(given)
        self.numbers = {value.name: number for number, value in enumerate(given)}
        self.steps: list[Step] = []
        self.given = [value for value in given if not value.constant]
        self.folded_bytes = 0

    def follow(self, node: NodeProto, opset: int) -> None:
        """Infer what a node makes; what depends on no input is made once, at load."""
        operands = [self.values[self.numbers[name]] if name else None for name in node.input]
        made = infer_values(node, operands, opset)
        start = len(self.values)
        self.values += made
        self.numbers |= {value.name: start + k for k, value in enumerate(made)}
        if all(value.constant for value in made):
            self.folded_bytes += sum(value.size_bytes for value in made)
            return
        takes = tuple({self.numbers[name] for name in node.input if name})
        makes = tuple(range(start, len(self.values)))
        self.steps.append(Step(takes, makes, workspace_bytes(node, operands, made)))

    def check_declared(self, declared: ValueInfoProto) -> None:
        """Compare a shape that the graph states with what was inferred: runtimes may trust it."""
        tensor = declared.type.tensor_type
        stated = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
        number = self.numbers.get(declared.name)
        value = None if number is None else self.values[number]
        if (
            value is None
            or value.data_type != tensor.elem_type
            or not all(_agrees(stated, shape) for shape in value.shapes)
        ):
            raise CorruptCodec(
                f"it states a shape of {declared.name[:99]!r} that differs from the one that "
                f"follows from its operators ({value and value.shapes[0]} for one sample)"
            )

    def memory(self, loaded_bytes: int) -> GraphMemory:
        """The bound on what the graph takes, besides `loaded_bytes`."""
        sizes = [0 if value.constant else value.size_bytes for value in self.values]
        held = sum(value.size_bytes for value in self.given)
        return GraphMemory(loaded_bytes + self.folded_bytes, held + peak_bytes(self.steps, sizes))


def _agrees(stated: Sequence[int | None], shape: tuple[int, ...]) -> bool:
    return len(stated) == len(shape) and all(
        size in (None, found) for size, found in zip(stated, shape, strict=True)
    )
