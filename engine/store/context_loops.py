"""Loops over contexts, in integers alone: what lies near each value, and which leaf that leads to.

Values lie position by position, all samples of one next to each other: no sample waits for another,
so contexts of a whole row are found before the first symbol of it is. Indices are unsigned where
that matters: Numba then allows for none from the end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compile_loop
from engine.store.context_model import (
    COORDINATE,
    DIFFERENCE,
    ERROR,
    FRACTION,
    VALUE,
    WEIGHT_BITS,
)

HALF = 1 << (WEIGHT_BITS - 1)


class Surroundings(NamedTuple):
    """Where values lie, and what is asked of what is near them.

    `neighbours` `(K, positions)`: positions, that after the last where there is none before the
    first. `coordinates` `(axes, positions)`, `weights` `(predictors, K)`, `asked` `(asked, 3)`.
    """

    neighbours: NDArray[np.int32]
    coordinates: NDArray[np.int32]
    weights: NDArray[np.int32]
    asked: NDArray[np.int64]


class Tree(NamedTuple):
    """The decision tree: `properties` are rows of `asked`, -1 at leaves, `leaves` their numbers."""

    properties: NDArray[np.int64]
    thresholds: NDArray[np.int32]
    skips: NDArray[np.uint64]
    leaves: NDArray[np.int64]


class Tables(NamedTuple):
    """What leaves say of values: predictor (0 is none), shift, low, size, table, that of low bits.

    `leaves` `(6, leaves)`; `starts` and `symbols` of the tables as in `CodedTables`.
    """

    leaves: NDArray[np.int64]
    starts: NDArray[np.uint16]
    symbols: NDArray[np.uint8]


class Scratch(NamedTuple):
    """Rows of `(samples,)`: errors of predictors by position, sums, properties, chosen leaves."""

    errors: NDArray[np.int32]
    sums: NDArray[np.int32]
    rows: NDArray[np.int32]
    chosen: NDArray[np.int64]


@compile_loop
def look(  # noqa: PLR0912 (split up, each call would count references to the arrays anew)
    position: int, around: Surroundings, values: NDArray[np.int32], scratch: Scratch
) -> None:
    """Fill the sums of all predictors, and the properties asked for, of one position."""
    sums, rows, errors = scratch.sums, scratch.rows, scratch.errors
    neighbours, weights, asked = around.neighbours, around.weights, around.asked
    coordinates, samples = around.coordinates, values.shape[1]
    for predictor in range(weights.shape[0]):
        for sample in range(samples):
            sums[predictor, sample] = 0
        for neighbour in range(weights.shape[1]):
            weight, near = weights[predictor, neighbour], np.uint64(neighbours[neighbour, position])
            for sample in range(samples):
                sums[predictor, sample] += weight * values[near, sample]
    for place in range(asked.shape[0]):
        kind, first, second = asked[place, 0], asked[place, 1], asked[place, 2]
        if kind == COORDINATE:
            for sample in range(samples):
                rows[place, sample] = coordinates[first, position]
        elif kind == VALUE:
            near = np.uint64(neighbours[first, position])
            for sample in range(samples):
                rows[place, sample] = values[near, sample]
        elif kind == DIFFERENCE:
            near, other = np.uint64(neighbours[first, position]), neighbours[second, position]
            for sample in range(samples):
                rows[place, sample] = values[near, sample] - values[np.uint64(other), sample]
        elif kind == FRACTION:
            for sample in range(samples):
                rows[place, sample] = sums[first, sample] & ((1 << WEIGHT_BITS) - 1)
        elif kind == ERROR:
            near = np.uint64(neighbours[second, position])
            for sample in range(samples):
                rows[place, sample] = errors[first, near, sample]
        else:
            for sample in range(samples):
                rows[place, sample] = 0
            for neighbour in range(neighbours.shape[0]):
                near = np.uint64(neighbours[neighbour, position])
                for sample in range(samples):
                    rows[place, sample] += abs(errors[first, near, sample])


@compile_loop
def choose(tree: Tree, scratch: Scratch) -> None:
    """Fill the leaves that the properties of a position lead to."""
    rows, chosen = scratch.rows, scratch.chosen
    properties, thresholds, skips = tree.properties, tree.thresholds, tree.skips
    for sample in range(chosen.size):
        node = np.uint64(0)
        place = properties[node]
        while place >= 0:
            above = rows[np.uint64(place), sample] > thresholds[node]
            node += skips[node] if above else np.uint64(1)
            place = properties[node]
        chosen[sample] = tree.leaves[node]


@compile_loop
def learn(position: int, values: NDArray[np.int32], scratch: Scratch) -> None:
    """Note how far each predictor was off at a position whose values are known."""
    for predictor in range(scratch.sums.shape[0]):
        error, total = scratch.errors[predictor, position], scratch.sums[predictor]
        for sample in range(values.shape[1]):
            predicted = (total[sample] + HALF) >> WEIGHT_BITS
            error[sample] = values[position, sample] - predicted


@compile_loop
def class_of(difference: int) -> int:
    """One of 256 classes of integers: each for itself below 32, then eight to an octave."""
    magnitude = min(abs(difference), (1 << 17) - 1)
    place, octave = magnitude, 0
    while place >= 64:
        place >>= 1
        octave += 1
    if place >= 32:
        place = 32 + 8 * octave + ((place - 32) >> 2)
    return 128 + (place if difference > 0 else -place)


@compile_loop
def properties_of(
    values: NDArray[np.int32],
    around: Surroundings,
    scratch: Scratch,
    stride: int,
    properties: NDArray[np.int32],
    classes: NDArray[np.uint8],
) -> None:
    """Fill properties `(asked, n)`, classes `(predictors + 1, n)` of every so many values."""
    count, until = 0, 0
    for position in range(values.shape[0] - 1):
        look(position, around, values, scratch)
        for sample in range(values.shape[1]):
            if until > 0:
                until -= 1
                continue
            until = stride - 1
            for place in range(properties.shape[0]):
                properties[place, count] = scratch.rows[place, sample]
            value = np.int64(values[position, sample])
            classes[0, count] = class_of(value)
            for predictor in range(scratch.sums.shape[0]):
                predicted = (scratch.sums[predictor, sample] + HALF) >> WEIGHT_BITS
                classes[predictor + 1, count] = class_of(value - predicted)
            count += 1
        learn(position, values, scratch)


@compile_loop
def differences_of(
    values: NDArray[np.int32],
    around: Surroundings,
    tree: Tree,
    tables: Tables,
    scratch: Scratch,
    leaves: NDArray[np.int64],
    differences: NDArray[np.int64],
) -> None:
    """Fill the leaves of values `(positions + 1, samples)`, and differences from predictions."""
    count = 0
    for position in range(values.shape[0] - 1):
        look(position, around, values, scratch)
        choose(tree, scratch)
        for sample in range(values.shape[1]):
            leaf = scratch.chosen[sample]
            leaves[count] = leaf
            differences[count] = values[position, sample]
            predictor = tables.leaves[0, leaf]
            if predictor > 0:
                differences[count] -= (scratch.sums[predictor - 1, sample] + HALF) >> WEIGHT_BITS
            count += 1
        learn(position, values, scratch)
