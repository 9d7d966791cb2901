"""Chunks of small integers as bytes: rANS over tables that neighbours choose, without any float.

A chunk is four states, then words of 16 bits, then the values outside the tables, as they are, the
first of them last; see `docs/format.md`, 3.11.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptStore
from engine.store.context_model import ContextModel, Leaf, Split

if TYPE_CHECKING:
    from engine.store.context_loops import Scratch, Surroundings, Tables, Tree

_STATES = 4
_STATE_BYTES = 4 * _STATES


class ContextCoder:
    """Encodes and decodes chunks of one shape by a model that is laid out once."""

    def __init__(self, model: ContextModel, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Of chunks of `shape` = `(chunk_samples, *item_shape)`.

        Raises:
            InvalidInput: values of `dtype` and this shape can't be coded by this model.
        """
        model.require(dtype, len(shape))
        self._model, self._shape, self._dtype = model, shape, dtype.newbyteorder("=")
        splits = [node for node in model.nodes if isinstance(node, Split)]
        asked = sorted({split.asked for split in splits})
        self._around = surroundings(model, shape[1:], asked)
        self._tree, self._tables = _tree(model, asked), _tables(model)

    def encode(self, values: NDArray[Any]) -> bytes:
        """Encode the values of a chunk."""
        from engine.store import context_rans_loops

        rows = position_rows(values)
        symbols = np.empty((2, 2 * values.size), np.uint16)
        escapes = np.empty(values.size, np.int32)
        count, escaped = context_rans_loops.symbols_of(
            rows, self._around, self._tree, self._tables, self._scratch(), symbols, escapes
        )
        states, words = np.empty(_STATES, np.uint32), np.empty(count, np.uint16)
        first = context_rans_loops.push(symbols, count, states, words)
        parts = (states, words[first:], escapes[:escaped][::-1].astype(self._dtype))
        return b"".join(part.astype(part.dtype.newbyteorder("<")).tobytes() for part in parts)

    def decode(self, content: bytes, where: str) -> NDArray[Any]:
        """Decode a chunk.

        Raises:
            CorruptStore: the bytes are damaged, or hold another number of values; `where` names
                them.
        """
        from engine.store import context_rans_loops

        rest = len(content) - _STATE_BYTES
        if rest < 0:
            raise CorruptStore(f"{where} is damaged (it takes {_STATE_BYTES} bytes at least)")
        states = np.frombuffer(content, "<u4", _STATES).astype(np.uint32)
        words = np.zeros(rest // 2 + 1, np.uint16)
        words[:-1] = np.frombuffer(content, "<u2", rest // 2, _STATE_BYTES)
        rows = np.zeros((math.prod(self._shape[1:]) + 1, self._shape[0]), np.int32)
        escapes = self._escapes(content[_STATE_BYTES:])
        taken, escaped = context_rans_loops.values_of(
            states, words, escapes, self._around, self._tree, self._tables, self._scratch(), rows
        )
        values = rows[:-1].astype(self._dtype)
        ended = taken >= 0 and 2 * taken + escaped * self._dtype.itemsize == rest
        if not ended or (values != rows[:-1]).any():
            raise CorruptStore(f"{where} is damaged (it doesn't hold {self._shape} values)")
        return np.moveaxis(values.reshape(*self._shape[1:], self._shape[0]), -1, 0)

    def differences(self, rows: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Leaves of all values of a chunk, and how far each is from what its leaf predicts.

        `rows` are those of `position_rows`; both `(positions * samples,)`.
        """
        from engine.store import context_loops

        leaves, found = np.empty((2, rows.size - rows.shape[1]), np.int64)
        context_loops.differences_of(
            rows, self._around, self._tree, self._tables, self._scratch(), leaves, found
        )
        return leaves, found

    def _escapes(self, content: bytes) -> NDArray[np.int32]:
        """Whole values from the end of `content` on, at most as many as a chunk has."""
        little = self._dtype.newbyteorder("<")
        count = min(len(content) // little.itemsize, math.prod(self._shape))
        start = len(content) - count * little.itemsize
        return np.frombuffer(content, little, count, start)[::-1].astype(np.int32)

    def _scratch(self) -> Scratch:
        return scratch(self._around, self._shape)


def position_rows(values: NDArray[Any]) -> NDArray[np.int32]:
    """Values of a chunk as `(positions + 1, samples)`, the last row zeros."""
    positions = math.prod(values.shape[1:])
    rows = np.zeros((positions + 1, len(values)), np.int32)
    rows[:-1] = values.reshape(len(values), positions).T
    return rows


def scratch(around: Surroundings, shape: tuple[int, ...]) -> Scratch:
    """Room for coding a chunk of `shape`."""
    from engine.store import context_loops

    samples, predictors = shape[0], len(around.weights)
    return context_loops.Scratch(
        np.zeros((predictors, math.prod(shape[1:]) + 1, samples), np.int32),
        np.zeros((predictors, samples), np.int32),
        np.zeros((len(around.asked), samples), np.int32),
        np.zeros(samples, np.int64),
    )


def surroundings(
    model: ContextModel, item_shape: tuple[int, ...], asked: list[tuple[int, int, int]]
) -> Surroundings:
    """Where the positions of an item lie, and what is `asked` of their neighbours."""
    from engine.store import context_loops

    return context_loops.Surroundings(
        neighbour_positions(model.neighbours, item_shape),
        _coordinates(item_shape).astype(np.int32),
        np.array(model.predictors, np.int32).reshape(-1, len(model.neighbours)),
        np.array(asked, np.int64).reshape(-1, 3),
    )


def _coordinates(item_shape: tuple[int, ...]) -> NDArray[np.int64]:
    return np.indices(item_shape).reshape(len(item_shape), -1)


def neighbour_positions(
    neighbours: tuple[tuple[int, ...], ...], item_shape: tuple[int, ...]
) -> NDArray[np.int32]:
    """Where the neighbours of each position lie `(neighbours, positions)`.

    One outside the item is the nearest inside, if that comes before the position; else it is the
    one before along the first axis that has one, and the position after the last where none has.
    """
    coordinates, positions = _coordinates(item_shape), np.arange(math.prod(item_shape))
    strides = [math.prod(item_shape[axis + 1 :]) for axis in range(len(item_shape))]
    instead = np.full_like(positions, len(positions))
    for coordinate, stride in zip(coordinates[::-1], strides[::-1], strict=True):
        instead = np.where(coordinate > 0, positions - stride, instead)
    found = np.empty((len(neighbours), len(positions)), np.int32)
    last = np.array(item_shape).reshape(-1, 1) - 1
    for row, offset in zip(found, neighbours, strict=True):
        near = np.clip(coordinates - np.reshape(offset, (-1, 1)), 0, last)
        nearest = np.asarray(strides) @ near
        row[:] = np.where(nearest < positions, nearest, instead)
    return found


def _tree(model: ContextModel, asked: list[tuple[int, int, int]]) -> Tree:
    from engine.store import context_loops

    columns, leaves = [], 0
    for node in model.nodes:
        if isinstance(node, Leaf):
            columns.append((-1, 0, 0, leaves))
            leaves += 1
        else:
            columns.append((asked.index(node.asked), node.threshold, node.skip, 0))
    properties, thresholds, skips, numbers = np.array(columns, np.int64).T
    return context_loops.Tree(
        properties.copy(), thresholds.astype(np.int32), skips.astype(np.uint64), numbers.copy()
    )


def _tables(model: ContextModel) -> Tables:
    from engine.store import context_loops

    coded, (shifts, lows, sizes) = model.tables.coded, model.tables.columns
    predictors = [leaf.predictor for leaf in model.leaves]
    leaves = (predictors, shifts, lows, sizes, coded.places, coded.uniform[shifts])
    return context_loops.Tables(np.array(leaves, np.int64), coded.starts, coded.symbols)
