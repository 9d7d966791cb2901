"""Fits the model of the contextual entropy coder to values."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.store.context import ContextCoder, position_rows, scratch, surroundings
from engine.store.context_model import (
    COORDINATE,
    DIFFERENCE,
    ERROR,
    ERRORS,
    FRACTION,
    MOST_WEIGHT,
    VALUE,
    WEIGHT_BITS,
    ContextModel,
    Leaf,
    Split,
)
from engine.store.context_tree import Grower, Node
from engine.store.least_absolute import least_absolute
from engine.store.rans_fit import fit_table
from engine.store.rans_tables import LARGEST, RansTable

# The nearest first: only these are compared with each other. By the number of axes of an item.
_NEIGHBOURS = {
    1: ((1,), (2,)),
    2: (
        (0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (1, 2), (1, -2), (2, 1), (2, -1), (2, 2),
        (2, -2),
    ),
    3: (
        (0, 1, 0), (1, 0, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, -1, 0), (1, 1, 1),
        (0, 2, 0), (2, 0, 0), (0, 0, 2), (1, 0, -1),
    ),
}  # fmt: skip
_COMPARED, _JUDGED = 7, 4
_TREE_VALUES, _REGRESSED_VALUES = 1 << 18, 1 << 15
_UNKNOWN = RansTable(0, 0, (1,))

Property = tuple[int, int, int]


def fit_model(values: NDArray[Any], total: float) -> ContextModel:
    """The model for arrays like `values`.

    Args:
        values: `(samples, *item_shape)` of integers that the coder takes; an item has one to three
            axes.
        total: how many values share the cost of the model.
    """
    rows, neighbours = position_rows(values), _NEIGHBOURS[values.ndim - 1]
    bare = ContextModel(neighbours, (), (Leaf(0, _UNKNOWN),))
    near = surroundings(bare, values.shape[1:], []).neighbours
    bare = ContextModel(neighbours, (_predictor(rows, near),), bare.nodes)
    asked = _properties(neighbours)
    tree = _grown(bare, asked, rows, values.shape, total)
    nodes = _nodes(tree.preorder(), asked)
    return _with_tables(ContextModel(neighbours, bare.predictors, nodes), values, rows)


def _grown(
    bare: ContextModel,
    asked: list[Property],
    rows: NDArray[np.int32],
    shape: tuple[int, ...],
    total: float,
) -> Node:
    """The tree that some of the values give."""
    from engine.store import context_loops

    around, values = surroundings(bare, shape[1:], asked), math.prod(shape)
    stride = -(-values // _TREE_VALUES) | 1  # odd: not always the same samples
    count = -(-values // stride)
    properties = np.empty((len(asked), count), np.int32)
    classes = np.empty((len(bare.predictors) + 1, count), np.uint8)
    context_loops.properties_of(rows, around, scratch(around, shape), stride, properties, classes)
    return Grower(properties, classes, _class_bits(), count / total).grow()


@functools.cache
def _class_bits() -> NDArray[np.float64]:
    """The bits that tell the integers of each class apart."""
    from engine.store import context_loops

    integers = range(-(1 << 16), 1 << 16)
    members = np.bincount([context_loops.class_of(integer) for integer in integers], minlength=256)
    return np.log2(np.maximum(1, members))


def _predictor(rows: NDArray[np.int32], near: NDArray[np.int32]) -> tuple[int, ...]:
    """Weights of least absolute deviation."""
    stride = max(1, rows.size // _REGRESSED_VALUES)
    values = rows[:-1].reshape(-1)[::stride].astype(np.float64)
    equations = np.stack([rows[row].reshape(-1)[::stride] for row in near], axis=1)
    weights = np.rint(least_absolute(equations.astype(np.float64), values) * (1 << WEIGHT_BITS))
    limit = MOST_WEIGHT - 1
    return tuple(int(weight) for weight in np.clip(weights, -limit, limit))


def _properties(neighbours: Sequence[Sequence[int]]) -> list[Property]:
    """All that a tree might ask of one predictor and these neighbours."""
    numbers = range(len(neighbours))
    return [
        *((COORDINATE, axis, 0) for axis in range(len(neighbours[0]))),
        *((VALUE, number, 0) for number in numbers),
        *((DIFFERENCE, *pair) for pair in itertools.combinations(numbers[:_COMPARED], 2)),
        (FRACTION, 0, 0),
        *((ERROR, 0, number) for number in numbers[:_JUDGED]),
        (ERRORS, 0, 0),
    ]


def _nodes(grown: list[Node], asked: list[Property]) -> tuple[Split | Leaf, ...]:
    """Nodes in preorder as the model has them, their tables unknown."""
    place_of = {id(node): place for place, node in enumerate(grown)}
    nodes: list[Split | Leaf] = []
    for place, node in enumerate(grown):
        if node.children:
            skip = place_of[id(node.children[1])] - place
            nodes.append(Split(*asked[node.asked], node.threshold, skip))
        else:
            nodes.append(Leaf(node.predictor, _UNKNOWN))
    return tuple(nodes)


def _with_tables(
    model: ContextModel, values: NDArray[Any], rows: NDArray[np.int32]
) -> ContextModel:
    """The model with tables counted on all values."""
    leaves, differences = ContextCoder(model, values.shape, values.dtype).differences(rows)
    differences = differences[np.argsort(leaves, kind="stable")]
    bounds = np.cumsum(np.bincount(leaves, minlength=len(model.leaves)))
    counted = iter(np.split(differences, bounds[:-1]))
    nodes = [
        Leaf(node.predictor, _table(next(counted), values.dtype.itemsize))
        if isinstance(node, Leaf)
        else node
        for node in model.nodes
    ]
    return ContextModel(model.neighbours, model.predictors, tuple(nodes))


def _table(differences: NDArray[np.int64], itemsize: int) -> RansTable:
    """The table of a leaf; predictions may lie so far off that no table begins there."""
    return fit_table(differences[np.abs(differences) < LARGEST], itemsize)
