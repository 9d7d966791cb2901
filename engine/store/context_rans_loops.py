"""Loops that code values by rANS with the tables that their contexts lead to, in integers alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compile_loop
from engine.store.context_loops import (
    HALF,
    Scratch,
    Surroundings,
    Tables,
    Tree,
    choose,
    learn,
    look,
)
from engine.store.context_model import WEIGHT_BITS
from engine.store.rans_loops import LOWEST


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
                difference -= (scratch.sums[predictor - 1, sample] + HALF) >> WEIGHT_BITS
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
    leaves, starts, symbols = tables.leaves, tables.starts, tables.symbols
    chosen, sums = scratch.chosen, scratch.sums
    taken, available, escaped = np.uint64(0), np.uint64(words.size - 1), 0
    for position in range(values.shape[0] - 1):
        look(position, around, values, scratch)
        choose(tree, scratch)
        for sample in range(values.shape[1]):
            leaf = np.uint64(chosen[sample])
            table = np.uint64(leaves[4, leaf])
            slot = one & np.uint64(0xFFF)
            symbol = np.uint64(symbols[table, slot])
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
                one = (one >> np.uint64(12)) * frequency + (one & (frequency - np.uint64(1)))
                if one < np.uint64(LOWEST):
                    one = (one << np.uint64(16)) | np.uint64(words[taken])
                    taken += np.uint64(1)
                    if taken > available:
                        return np.int64(-1), -1
                one, two, three, four = two, three, four, one
                value = (value << shift) + np.int64(bits)
            predictor = leaves[0, leaf]
            if predictor > 0:
                value += (sums[predictor - 1, sample] + HALF) >> WEIGHT_BITS
            values[position, sample] = value
        learn(position, values, scratch)
    ended = one == two == three == four == np.uint64(LOWEST)
    return (np.int64(taken), escaped) if ended else (np.int64(-1), -1)
