"""What the contextual entropy coder knows of an array: which neighbours tell what of a value.

It is written once, into the metadata of an array; see `docs/format.md`, 3.11.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import InvalidInput
from engine.store.leb128 import fold, from_text, to_text, unfold
from engine.store.rans_tables import TOTAL, RansTable, RansTables

CONTEXT_CODEC = "latent-engine.context"
DTYPES = tuple(np.dtype(name) for name in ("int8", "uint8", "int16", "uint16"))
WEIGHT_BITS = 8
MOST_AXES, MOST_NEIGHBOURS, MOST_PREDICTORS, MOST_NODES = 3, 16, 4, 1023
MOST_WEIGHT = 1 << 10  # the sum of 16 neighbours of 16 bits fits int32
MOST_THRESHOLD = (1 << 20) - 1
LEAF, COORDINATE, VALUE, DIFFERENCE, FRACTION, ERROR, ERRORS = range(7)
_REACH = 2
_INDEX_BYTES, _ERROR_BYTES = 8, 4
_LONGEST_TEXT = 1 << 20  # more than 511 leaves of 255 frequencies take in Base64


@dataclass(frozen=True)
class Split:
    """A node that compares a property of a value's surroundings.

    Args of the dataclass:
        kind: of the property: `COORDINATE` to `ERRORS`.
        first, second: what of, see `docs/format.md`; 0 where the kind needs none.
        threshold: up to it the next node decides, above it the one `skip` nodes further.
        skip: how far.
    """

    kind: int
    first: int
    second: int
    threshold: int
    skip: int

    @property
    def asked(self) -> tuple[int, int, int]:
        """The property."""
        return self.kind, self.first, self.second

    def numbers(self) -> list[int]:
        """The node as numbers from 0 on, as `ContextModel.to_json` keeps it."""
        return [*self.asked, fold(self.threshold), self.skip]


@dataclass(frozen=True)
class Leaf:
    """A node that decides: what is predicted, and how frequent differences from that are.

    Args of the dataclass:
        predictor: 0 predicts 0; p is predictor p - 1 of the model.
        table: of the differences.
    """

    predictor: int
    table: RansTable

    def numbers(self) -> list[int]:
        """The node as numbers from 0 on, as `ContextModel.to_json` keeps it."""
        return [LEAF, self.predictor, *self.table.numbers()]


@dataclass(frozen=True)
class ContextModel:
    """How likely each value is, given values before it in its sample, and where it lies.

    Args of the dataclass:
        neighbours: how far each lies before a value along each axis of a sample; the first step
            that isn't 0 is positive.
        predictors: weights of all neighbours in units of 1/256.
        nodes: of the decision tree, its root first.

    Raises:
        InvalidInput: no such neighbours, weights or tree.
    """

    neighbours: tuple[tuple[int, ...], ...]
    predictors: tuple[tuple[int, ...], ...]
    nodes: tuple[Split | Leaf, ...]

    def __post_init__(self) -> None:
        """Refuse what would index something that isn't there, overflow, or not end."""
        if not 1 <= len(self.neighbours) <= MOST_NEIGHBOURS or not 1 <= self.axes <= MOST_AXES:
            raise InvalidInput(
                f"{len(self.neighbours)} neighbours, expected 1 to {MOST_NEIGHBOURS} along 1 to "
                f"{MOST_AXES} axes"
            )
        if not all(_is_before(offset, self.axes) for offset in self.neighbours):
            raise InvalidInput(f"neighbours at {self.neighbours}, not all of them before a value")
        weights = [weight for predictor in self.predictors for weight in predictor]
        if (
            len(self.predictors) > MOST_PREDICTORS
            or {len(predictor) for predictor in self.predictors} - {len(self.neighbours)}
            or any(abs(weight) >= MOST_WEIGHT for weight in weights)
        ):
            raise InvalidInput(f"{len(self.predictors)} predictors of {len(weights)} weights")
        if not 1 <= len(self.nodes) <= MOST_NODES:
            raise InvalidInput(f"a tree of {len(self.nodes)} nodes, expected 1 to {MOST_NODES}")
        for place, node in enumerate(self.nodes):
            if not self._holds(node, len(self.nodes) - place):
                raise InvalidInput(f"no node {node} at place {place} of {len(self.nodes)}")

    def _holds(self, node: Split | Leaf, left: int) -> bool:
        """Whether a node with so many left, itself among them, asks for what is there."""
        if isinstance(node, Leaf):
            return 0 <= node.predictor <= len(self.predictors)
        neighbours, predictors = len(self.neighbours), len(self.predictors)
        firsts, seconds = {
            COORDINATE: (self.axes, 1),
            VALUE: (neighbours, 1),
            DIFFERENCE: (neighbours, neighbours),
            FRACTION: (predictors, 1),
            ERROR: (predictors, neighbours),
            ERRORS: (predictors, 1),
        }.get(node.kind, (0, 0))
        asks = 0 <= node.first < firsts and 0 <= node.second < seconds
        return asks and 1 <= node.skip < left and abs(node.threshold) <= MOST_THRESHOLD

    @property
    def axes(self) -> int:
        """How many axes a sample has."""
        return len(self.neighbours[0])

    @functools.cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """The nodes that decide, in their order."""
        return tuple(node for node in self.nodes if isinstance(node, Leaf))

    @functools.cached_property
    def tables(self) -> RansTables:
        """Those of the leaves."""
        return RansTables(tuple(leaf.table for leaf in self.leaves))

    def require(self, dtype: np.dtype[Any], axes: int) -> None:
        """Raise InvalidInput if chunks of `dtype` with so many axes can't be coded by this."""
        if dtype.newbyteorder("=") not in DTYPES or axes != self.axes + 1:
            raise InvalidInput(
                f"chunks of {dtype} with {axes} axes can't be coded by contexts of "
                f"{self.axes + 1} axes, of integers of one or two bytes"
            )

    def scratch_bytes(self, shape: tuple[int, ...]) -> int:
        """The most memory that one buffer takes while a chunk of `shape` is coded."""
        samples, positions = shape[0], math.prod(shape[1:]) + 1
        by_position = _INDEX_BYTES * max(len(self.neighbours), MOST_AXES) * positions
        by_value = _ERROR_BYTES * len(self.predictors) * positions * samples
        by_node = max(TOTAL, _ERROR_BYTES * samples) * len(self.nodes)
        return max(by_position, by_value, by_node)

    def to_json(self) -> dict[str, Any]:
        """The codec's configuration in metadata: all numbers as LEB128, in Base64."""
        return {"model": to_text(self._numbers())}

    def _numbers(self) -> Iterator[int]:
        yield from (self.axes, len(self.neighbours))
        yield from (fold(step) for offset in self.neighbours for step in offset)
        yield len(self.predictors)
        yield from (fold(weight) for predictor in self.predictors for weight in predictor)
        for node in self.nodes:
            yield from node.numbers()

    @classmethod
    def from_json(cls, configuration: Mapping[str, Any]) -> ContextModel:
        """Read `to_json`.

        Raises:
            InvalidInput: it makes no sense.
        """
        try:
            if len(configuration["model"]) > _LONGEST_TEXT:
                raise ValueError
            numbers = iter(from_text(configuration["model"]))
            axes, count = next(numbers), next(numbers)
            if not 1 <= axes <= MOST_AXES or not 1 <= count <= MOST_NEIGHBOURS:
                raise ValueError
            neighbours = _rows(numbers, count, axes)
            predictors = _rows(numbers, min(next(numbers), MOST_PREDICTORS + 1), count)
            nodes = tuple(_nodes(numbers))
        except (LookupError, TypeError, ValueError, StopIteration, RuntimeError):
            raise InvalidInput("the model of a context codec is damaged") from None
        return cls(neighbours, predictors, nodes)


def _is_before(offset: Sequence[int], axes: int) -> bool:
    """Whether a neighbour lies near, and before a value in the order of the array."""
    if len(offset) != axes or any(abs(step) > _REACH for step in offset):
        return False
    return next((step > 0 for step in offset if step), False)


def _rows(numbers: Iterator[int], rows: int, columns: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(unfold(next(numbers)) for _ in range(columns)) for _ in range(rows))


def _nodes(numbers: Iterator[int]) -> Iterator[Split | Leaf]:
    """The nodes that all other numbers are."""
    for kind in numbers:
        if kind == LEAF:
            predictor, shift, folded, count = (next(numbers) for _ in range(4))
            frequencies = tuple(next(numbers) for _ in range(count))
            yield Leaf(predictor, RansTable(shift, unfold(folded), frequencies))
        else:
            first, second, threshold, skip = (next(numbers) for _ in range(4))
            yield Split(kind, first, second, unfold(threshold), skip)
