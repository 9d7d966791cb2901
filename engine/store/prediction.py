"""Predicts values of a chunk from their neighbours, so that only small differences are coded.

All arithmetic is modular in the dtype of the values: nothing overflows, everything is exactly
undone. `median` is the predictor of LOCO-I (Weinberger, Seroussi, Sapiro 2000), used in JPEG-LS.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compile_loop
from engine.errors import InvalidInput

WEIGHT_BITS = 8
_MAX_REACH = 2
_MAX_NEIGHBOURS = 32
_MAX_WEIGHT = 1 << 12
_MAX_LINEAR_AXES = 3
_POSITION_BYTES = 8


@dataclass(frozen=True)
class Prediction:
    """Differences along axes, one after the other, and then from a median or a weighted sum.

    Args of the dataclass:
        differences: axes of the chunk `(chunk_samples, *item_shape)`, 0 the samples; a value minus
            the one before it, the first one kept.
        median: none, or two axes: minus the median of the value before it along the first, the one
            along the second, and the plane through them and the one before it along both.
        offsets: how far each neighbour of a weighted sum lies before a value, along each axis but
            the samples, of which there are at most three; the first step that isn't 0 is positive.
        weights: of these neighbours, in units of 1/256.

    Raises:
        InvalidInput: no such axes, neighbours or weights.
    """

    differences: tuple[int, ...] = ()
    median: tuple[int, ...] = ()
    offsets: tuple[tuple[int, ...], ...] = ()
    weights: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what could not be undone, or would reach far."""
        axes = (*self.differences, *self.median)
        if not all(type(axis) is int and 0 <= axis < 32 for axis in axes):
            raise InvalidInput(f"no axes to predict along: {axes}")
        if (
            len(set(self.differences)) != len(self.differences)
            or (self.median and (len(set(self.median)) != 2 or len(self.median) != 2))
            or 0 in self.median
            or (self.median and self.offsets)
        ):
            raise InvalidInput(f"prediction by axes {self.differences}, then {self.median}")
        if len(self.offsets) != len(self.weights) or len(self.offsets) > _MAX_NEIGHBOURS:
            raise InvalidInput(f"{len(self.offsets)} neighbours of {len(self.weights)} weights")
        for offset, weight in zip(self.offsets, self.weights, strict=True):
            if not (_is_before(offset) and type(weight) is int and abs(weight) <= _MAX_WEIGHT):
                raise InvalidInput(f"prediction from neighbour {offset} with weight {weight}")

    def __bool__(self) -> bool:
        """Whether anything is predicted."""
        return bool(self.differences or self.median or self.offsets)

    def __str__(self) -> str:
        axes = ", ".join(map(str, self.differences))
        steps = [f"differences along {axes}"] if self.differences else []
        steps += ["median of neighbours"] if self.median else []
        steps += [f"weighted {len(self.offsets)} neighbours"] if self.offsets else []
        return ", ".join(steps) or "no prediction"

    def to_json(self) -> dict[str, Any]:
        """The attribute `prediction` of an array; see `from_json`."""
        document: dict[str, Any] = {"differences": list(self.differences)}
        if self.median:
            document["median"] = list(self.median)
        if self.offsets:
            offsets = [list(offset) for offset in self.offsets]
            document["linear"] = {"offsets": offsets, "weights": list(self.weights)}
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any], axes: int) -> Prediction:
        """Read `to_json` of an array of so many axes, the samples counted.

        Raises:
            InvalidInput: it makes no sense for such an array.
        """
        linear = document.get("linear", {"offsets": [], "weights": []})
        offsets = tuple(tuple(offset) for offset in linear["offsets"])
        prediction = cls(
            tuple(document["differences"]),
            tuple(document.get("median", ())),
            offsets,
            tuple(linear["weights"]),
        )
        if any(axis >= axes for axis in (*prediction.differences, *prediction.median)) or any(
            len(offset) != axes - 1 for offset in offsets
        ):
            raise InvalidInput(f"prediction {document} of an array of {axes} axes")
        return prediction

    def scratch_bytes(self, item_shape: tuple[int, ...]) -> int:
        """The most memory that predicting takes beside the values: a position of each neighbour."""
        if not (self.median or self.offsets):
            return 0
        offsets = self.offsets or (self._median_offsets(len(item_shape))[-1],)
        reach = [max(abs(offset[axis]) for offset in offsets) for axis in range(len(item_shape))]
        padded = (length + 2 * most for length, most in zip(item_shape, reach, strict=True))
        return _POSITION_BYTES * math.prod(padded)

    def _median_offsets(self, axes: int) -> tuple[tuple[int, ...], ...]:
        """The neighbours along the first axis of the median, along the second, and along both."""
        return tuple(
            tuple(int(axis in steps) for axis in range(1, axes + 1))
            for steps in (self.median[:1], self.median[1:], self.median)
        )

    def to_differences(self, values: NDArray[Any]) -> NDArray[Any]:
        """Replace integers `(chunk_samples, *item_shape)` by their differences, in their dtype."""
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        for axis in self.differences:
            values = _first_kept(values, axis)
        return self._by_neighbours(values, undo=False)

    def from_differences(self, differences: NDArray[Any]) -> NDArray[Any]:
        """Undo `to_differences`."""
        differences = differences.astype(differences.dtype.newbyteorder("="), copy=False)
        values = self._by_neighbours(differences, undo=True)
        for axis in reversed(self.differences):
            values = np.cumsum(values, axis, values.dtype)
        return values

    def _by_neighbours(self, values: NDArray[Any], *, undo: bool) -> NDArray[Any]:
        """Subtract, or in the other order add, what the median or the sum predicts."""
        if not (self.median or self.offsets):
            return values
        offsets = self.offsets or self._median_offsets(values.ndim - 1)
        buffer, inside, steps = _padded_item(values.shape[1:], values.dtype, offsets)
        result = np.array(values, order="C")
        items = result.reshape(len(values), -1)
        if self.median:
            _kernel(_median)(items, buffer, inside, steps, undo)
        else:
            weights = np.array(self.weights, np.int64)
            _kernel(_linear)(items, buffer, inside, steps, weights, undo)
        return result


NO_PREDICTION = Prediction()


def _is_before(offset: Sequence[int]) -> bool:
    """Whether a neighbour lies near, and before a value in the order of the array."""
    near = all(type(step) is int and abs(step) <= _MAX_REACH for step in offset)
    if not near or len(offset) > _MAX_LINEAR_AXES:
        return False
    return next((step > 0 for step in offset if step), False)


def _first_kept(values: NDArray[Any], axis: int) -> NDArray[Any]:
    differences = values.copy()
    after: list[Any] = [slice(None)] * values.ndim
    after[axis] = slice(1, None)
    before = [*after]
    before[axis] = slice(None, -1)
    differences[tuple(after)] -= values[tuple(before)]
    return differences


def _padded_item(
    shape: Sequence[int], dtype: np.dtype[Any], offsets: Sequence[Sequence[int]]
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """A flat buffer of zeros for one item with room around it, so that no neighbour lies outside.

    Returns it, the positions in it of the item's values in order, and for each offset how far
    before a value that neighbour lies.
    """
    before = np.max(offsets, axis=0, initial=0)
    after = -np.min(offsets, axis=0, initial=0)
    padded = tuple(int(length) for length in before + shape + after)
    interior = tuple(
        slice(start, start + length) for start, length in zip(before, shape, strict=True)
    )
    buffer = np.zeros(math.prod(padded), dtype)
    inside = np.arange(buffer.size, dtype=np.int64).reshape(padded)[interior].reshape(-1)
    strides = np.array([math.prod(padded[axis + 1 :]) for axis in range(len(padded))], np.int64)
    return buffer, inside, np.asarray(offsets, np.int64) @ strides


@functools.cache
def _kernel(function: Callable[..., None]) -> Callable[..., None]:
    return compile_loop(function)


def _linear(
    items: NDArray[Any],
    buffer: NDArray[Any],
    inside: NDArray[np.int64],
    steps: NDArray[np.int64],
    weights: NDArray[np.int64],
    undo: bool,
) -> None:
    """In place, last value first, or first value first to undo: neighbours are always values."""
    for item in range(items.shape[0]):
        for place in range(inside.size):
            buffer[inside[place]] = items[item, place]
        for turn in range(inside.size):
            at = inside[turn if undo else inside.size - 1 - turn]
            total = np.int64(1 << (WEIGHT_BITS - 1))
            for neighbour in range(steps.size):
                # Unsigned, lest Numba allow for indices that count from the end: twice as fast.
                there = np.uint64(at - steps[neighbour])
                total += weights[neighbour] * np.int64(buffer[there])
            predicted = total >> WEIGHT_BITS
            buffer[at] = np.int64(buffer[at]) + (predicted if undo else -predicted)
        for place in range(inside.size):
            items[item, place] = buffer[inside[place]]


def _median(
    items: NDArray[Any],
    buffer: NDArray[Any],
    inside: NDArray[np.int64],
    steps: NDArray[np.int64],
    undo: bool,
) -> None:
    """In place, as `_linear` is."""
    for item in range(items.shape[0]):
        for place in range(inside.size):
            buffer[inside[place]] = items[item, place]
        for turn in range(inside.size):
            at = inside[turn if undo else inside.size - 1 - turn]
            one = np.int64(buffer[at - steps[0]])
            other = np.int64(buffer[at - steps[1]])
            both = np.int64(buffer[at - steps[2]])
            low, high = min(one, other), max(one, other)
            predicted = min(max(one + other - both, low), high)
            buffer[at] = np.int64(buffer[at]) + (predicted if undo else -predicted)
        for place in range(inside.size):
            items[item, place] = buffer[inside[place]]
