"""The loops of the contextual entropy coder, in integers alone: contexts, then rANS.

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
from engine.store.rans_loops import LOWEST

_HALF = 1 << (WEIGHT_BITS - 1)


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

    `leaves` `(6, leaves)`; `starts` and `guesses` of the tables as in `CodedTables`.
    """

    leaves: NDArray[np.int64]
    starts: NDArray[np.uint16]
    guesses: NDArray[np.uint8]


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
            predicted = (total[sample] + _HALF) >> WEIGHT_BITS
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
                predicted = (scratch.sums[predictor, sample] + _HALF) >> WEIGHT_BITS
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
                differences[count] -= (scratch.sums[predictor - 1, sample] + _HALF) >> WEIGHT_BITS
            count += 1
        learn(position, values, scratch)


@compile_loop
def symbols_of(
    values: NDArray[np.int32],
    around: Surroundings,
    tree: Tree,
    tables: Tables,
    scratch: Scratch,
    symbols: NDArray[np.uint16],
    escapes: NDArray[np.int32],
) -> tuple[int, int]:
    """Fill symbols `(2, count)`, their first slots and frequencies, and values that escape.

    Returns how many there are of both.
    """
    leaves, starts = tables.leaves, tables.starts
    count = escaped = 0
    for position in range(values.shape[0] - 1):
        look(position, around, values, scratch)
        choose(tree, scratch)
        for sample in range(values.shape[1]):
            leaf = np.uint64(scratch.chosen[sample])
            predictor, shift, low, size = (
                leaves[0, leaf],
                leaves[1, leaf],
                leaves[2, leaf],
                leaves[3, leaf],
            )
            table = np.uint64(leaves[4, leaf])
            value = np.int64(values[position, sample])
            difference = value
            if predictor > 0:
                difference -= (scratch.sums[predictor - 1, sample] + _HALF) >> WEIGHT_BITS
            symbol = (difference >> shift) - low
            if symbol < 0 or symbol >= size:
                symbol = size
                escapes[escaped] = value
                escaped += 1
            start = starts[table, symbol]
            symbols[0, count] = start
            symbols[1, count] = starts[table, symbol + 1] - start
            count += 1
            if shift > 0 and symbol < size:
                bits = difference & ((1 << shift) - 1)
                symbols[0, count] = starts[leaves[5, leaf], bits]
                symbols[1, count] = 4096 >> shift
                count += 1
        learn(position, values, scratch)
    return count, escaped


@compile_loop
def push(
    symbols: NDArray[np.uint16], count: int, states: NDArray[np.uint32], words: NDArray[np.uint16]
) -> np.int64:
    """Encode so many symbols, the last one first; fills the end of `words` and says where."""
    one = two = three = four = np.uint64(LOWEST)
    first = np.uint64(words.size)
    for back in range(count):
        place = np.uint64(count - 1 - back)
        start, frequency = np.uint64(symbols[0, place]), np.uint64(symbols[1, place])
        one, two, three, four = four, one, two, three
        if one >= frequency << np.uint64(20):
            first -= np.uint64(1)
            words[first] = one & np.uint64(0xFFFF)
            one >>= np.uint64(16)
        one = ((one // frequency) << np.uint64(12)) + one % frequency + start
    states[0], states[1], states[2], states[3] = one, two, three, four
    return np.int64(first)


@compile_loop
def values_of(
    states: NDArray[np.uint32],
    words: NDArray[np.uint16],
    escapes: NDArray[np.int32],
    around: Surroundings,
    tree: Tree,
    tables: Tables,
    scratch: Scratch,
    values: NDArray[np.int32],
) -> tuple[np.int64, int]:
    """Fill values `(positions + 1, samples)`; how many words and escapes that took.

    -1 of both if there are fewer, or a state doesn't end where encoding began. The last element of
    `words` is room to read, but no word, that of `values` is 0.
    """
    one, two = np.uint64(states[0]), np.uint64(states[1])
    three, four = np.uint64(states[2]), np.uint64(states[3])
    leaves, starts, guesses = tables.leaves, tables.starts, tables.guesses
    chosen, sums = scratch.chosen, scratch.sums
    taken, available, escaped = np.uint64(0), np.uint64(words.size - 1), 0
    for position in range(values.shape[0] - 1):
        look(position, around, values, scratch)
        choose(tree, scratch)
        for sample in range(values.shape[1]):
            leaf = np.uint64(chosen[sample])
            table = np.uint64(leaves[4, leaf])
            slot = one & np.uint64(0xFFF)
            symbol = np.uint64(guesses[table, slot >> np.uint64(4)])
            while slot >= starts[table, symbol + np.uint64(1)]:
                symbol += np.uint64(1)
            start = np.uint64(starts[table, symbol])
            frequency = np.uint64(starts[table, symbol + np.uint64(1)]) - start
            one = (one >> np.uint64(12)) * frequency + slot - start
            if one < np.uint64(LOWEST):
                one = (one << np.uint64(16)) | np.uint64(words[taken])
                taken += np.uint64(1)
                if taken > available:
                    return np.int64(-1), -1
            one, two, three, four = two, three, four, one
            if symbol == np.uint64(leaves[3, leaf]):
                if escaped >= escapes.size:
                    return np.int64(-1), -1
                values[position, sample] = escapes[escaped]
                escaped += 1
                continue
            value = leaves[2, leaf] + np.int64(symbol)
            shift = leaves[1, leaf]
            if shift > 0:
                bits = (one & np.uint64(0xFFF)) >> np.uint64(12 - shift)
                frequency = np.uint64(4096 >> shift)
                start = bits * frequency
                one = (one >> np.uint64(12)) * frequency + (one & np.uint64(0xFFF)) - start
                if one < np.uint64(LOWEST):
                    one = (one << np.uint64(16)) | np.uint64(words[taken])
                    taken += np.uint64(1)
                    if taken > available:
                        return np.int64(-1), -1
                one, two, three, four = two, three, four, one
                value = (value << shift) + np.int64(bits)
            predictor = leaves[0, leaf]
            if predictor > 0:
                value += (sums[predictor - 1, sample] + _HALF) >> WEIGHT_BITS
            values[position, sample] = value
        learn(position, values, scratch)
    ended = one == two == three == four == np.uint64(LOWEST)
    return (np.int64(taken), escaped) if ended else (np.int64(-1), -1)
