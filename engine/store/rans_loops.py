"""The loops of the entropy coder: rANS with one, two or four states that take turns, in integers.

Duda 2013, https://arxiv.org/abs/1311.2540; several states in turn: Giesen 2014,
https://arxiv.org/abs/1402.3392. Indices are unsigned: Numba then allows for none from the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compile_loop

LOWEST = 1 << 16  # of a state between two symbols; the highest is below 1 << 32


@compile_loop
def symbols_of(
    values: NDArray[Any],
    layout: NDArray[np.int64],
    symbols: NDArray[np.uint8],
    escapes: NDArray[Any],
) -> int:
    """Fill symbols `(rows, samples)` from values `(samples, positions)`; how many values escape.

    `layout` is the shift, low and size of each position.
    """
    row = escaped = 0
    for position in range(values.shape[1]):
        shift, low, size = layout[0, position], layout[1, position], layout[2, position]
        for sample in range(values.shape[0]):
            value = np.int64(values[sample, position])
            symbol = (value >> shift) - low
            if symbol < 0 or symbol >= size:
                symbol = size
                escapes[escaped] = value
                escaped += 1
            symbols[row, sample] = symbol
            if shift > 0:
                symbols[row + 1, sample] = value & ((1 << shift) - 1)
        row += 2 if shift > 0 else 1
    return escaped


@compile_loop
def put(
    state: np.uint64,
    symbol: np.uint8,
    start_of: NDArray[np.uint16],
    inverse_of: NDArray[np.uint64],
    words: NDArray[np.uint16],
    first: np.uint64,
) -> tuple[np.uint64, np.uint64]:
    """The state that also holds a symbol, and where words begin then: one more if it was high.

    Which states are high can't be foretold, so this doesn't branch; the division by a frequency is
    a product with its inverse, see `CodedTables.inverses`.
    """
    start = np.uint64(start_of[symbol])
    frequency = np.uint64(start_of[symbol + 1]) - start
    high = np.uint64(state >= frequency << np.uint64(20))
    words[first - np.uint64(1)] = state & np.uint64(0xFFFF)
    state >>= high << np.uint64(4)
    quotient = (state * inverse_of[symbol]) >> np.uint64(44)
    state += quotient * (np.uint64(4096) - frequency) + start
    return state, first - high


@compile_loop
def push(
    symbols: NDArray[np.uint8],
    tables: NDArray[np.int64],
    starts: NDArray[np.uint16],
    inverses: NDArray[np.uint64],
    count: int,
    states: NDArray[np.uint32],
    words: NDArray[np.uint16],
) -> np.int64:
    """Encode symbols `(rows, samples)`, the last one first, row r by table `tables[r]`.

    Fills `states`, 4 of which `count` take turns, and the end of `words`, one a symbol at most, and
    returns where they begin.
    """
    one = two = three = four = np.uint64(LOWEST)
    first = np.uint64(words.size)
    at_once = 0 if count == 1 else symbols.shape[1] // count * count
    for row in range(symbols.shape[0] - 1, -1, -1):
        start_of, inverse_of = starts[tables[row]], inverses[tables[row]]
        coded = symbols[row]
        for sample in range(symbols.shape[1] - 1, at_once - 1, -1):
            if count == 4:
                one, two, three, four = four, one, two, three
            elif count == 2:
                one, two = two, one
            one, first = put(one, coded[sample], start_of, inverse_of, words, first)
        for sample in range(at_once - count, -1, -count):
            if count == 4:
                four, first = put(four, coded[sample + 3], start_of, inverse_of, words, first)
                three, first = put(three, coded[sample + 2], start_of, inverse_of, words, first)
            two, first = put(two, coded[sample + 1], start_of, inverse_of, words, first)
            one, first = put(one, coded[sample], start_of, inverse_of, words, first)
    states[0], states[1], states[2], states[3] = one, two, three, four
    return np.int64(first)


@compile_loop
def write(numbers: NDArray[Any], itemsize: int, content: NDArray[np.uint8], place: int) -> int:
    """Write the low `itemsize` bytes of integers, little end first; where they end."""
    for number in numbers:
        for byte in range(itemsize):
            content[place] = (np.int64(number) >> (8 * byte)) & 0xFF
            place += 1
    return place


@compile_loop
def encode_run(
    values: NDArray[Any],
    count: int,
    tables: NDArray[np.int64],
    starts: NDArray[np.uint16],
    inverses: NDArray[np.uint64],
    layout: NDArray[np.int64],
    content: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> None:
    """Fill the beginning of `content` from values `(chunks, samples, positions)`.

    `ends` says where each chunk ends. See `push` for `count` and the tables.
    """
    symbols = np.empty((tables.size, values.shape[1]), np.uint8)
    escapes = np.empty(values.shape[1] * values.shape[2], values.dtype)
    states, words = np.empty(4, np.uint32), np.empty(symbols.size, np.uint16)
    place = 0
    for chunk in range(values.shape[0]):
        escaped = symbols_of(values[chunk], layout, symbols, escapes)
        first = push(symbols, tables, starts, inverses, count, states, words)
        place = write(states[:count], 4, content, place)
        place = write(words[first:], 2, content, place)
        place = write(escapes[:escaped], values.itemsize, content, place)
        ends[chunk] = place


@compile_loop
def symbol_at(
    state: np.uint64, start_of: NDArray[np.uint16], symbol_of: NDArray[np.uint8]
) -> tuple[np.uint64, np.uint64]:
    """The symbol that a state ends in, and the state before it."""
    slot = state & np.uint64(0xFFF)
    symbol = np.uint64(symbol_of[slot])
    start = np.uint64(start_of[symbol])
    frequency = np.uint64(start_of[symbol + np.uint64(1)]) - start
    return symbol, (state >> np.uint64(12)) * frequency + slot - start


@compile_loop
def refill(
    state: np.uint64, content: NDArray[np.uint8], taken: np.uint64
) -> tuple[np.uint64, np.uint64]:
    """A state that has taken two bytes if it was low, and how many are taken then.

    Which states are low can't be foretold, so this doesn't branch. Past the end of `content` it
    reads the last two.
    """
    low = np.uint64(state < np.uint64(LOWEST))
    word = word_at(content, min(taken, np.uint64(content.size - 2)))
    state = (state << (low << np.uint64(4))) | (word & (np.uint64(0) - low))
    return state, taken + (low << np.uint64(1))


@compile_loop
def word_at(content: NDArray[np.uint8], place: np.uint64) -> np.uint64:
    """The little-endian integer of two bytes."""
    low, high = np.uint64(content[place]), np.uint64(content[place + np.uint64(1)])
    return low | (high << np.uint64(8))


@compile_loop
def pull(
    content: NDArray[np.uint8],
    count: int,
    tables: NDArray[np.int64],
    starts: NDArray[np.uint16],
    symbols_of_slots: NDArray[np.uint8],
    symbols: NDArray[np.uint8],
) -> np.int64:
    """Decode symbols `(rows, samples)`, row r by table `tables[r]`, see `push`.

    `content` is the `count` states of four bytes, then words of two, then anything. Returns how
    many bytes it took, -1 if there are fewer, or a state doesn't end where encoding began.
    """
    one = two = three = four = np.uint64(LOWEST)
    taken, available = np.uint64(4 * count), np.uint64(content.size)
    if taken > available:
        return np.int64(-1)
    for state in range(count - 1, -1, -1):
        place = np.uint64(4 * state)
        low, high = word_at(content, place), word_at(content, place + np.uint64(2))
        one, two, three, four = low | (high << np.uint64(16)), one, two, three
    at_once = 0 if count == 1 else symbols.shape[1] // count * count
    for row in range(symbols.shape[0]):
        start_of, symbol_of = starts[tables[row]], symbols_of_slots[tables[row]]
        found = symbols[row]
        for sample in range(0, at_once, count):
            found[sample], one = symbol_at(one, start_of, symbol_of)
            found[sample + 1], two = symbol_at(two, start_of, symbol_of)
            if count == 4:
                found[sample + 2], three = symbol_at(three, start_of, symbol_of)
                found[sample + 3], four = symbol_at(four, start_of, symbol_of)
            one, taken = refill(one, content, taken)
            two, taken = refill(two, content, taken)
            if count == 4:
                three, taken = refill(three, content, taken)
                four, taken = refill(four, content, taken)
        for sample in range(at_once, symbols.shape[1]):
            found[sample], one = symbol_at(one, start_of, symbol_of)
            one, taken = refill(one, content, taken)
            if count == 4:
                one, two, three, four = two, three, four, one
            elif count == 2:
                one, two = two, one
        if taken > available:
            return np.int64(-1)
    ended = one == two == three == four == np.uint64(LOWEST)
    return np.int64(taken) if ended else np.int64(-1)


@compile_loop
def values_of(
    symbols: NDArray[np.uint8],
    layout: NDArray[np.int64],
    escapes: NDArray[np.uint8],
    values: NDArray[Any],
) -> int:
    """Fill values `(samples, positions)` from symbols `(rows, samples)`; how many values escape.

    `layout` is the shift, low and size of each position; `escapes` are the bytes of values, little
    end first. Those that they have no room for are counted only.
    """
    row = escaped = 0
    for position in range(values.shape[1]):
        shift, low, size = layout[0, position], layout[1, position], layout[2, position]
        escaping = 0
        for sample in range(values.shape[0]):
            symbol = symbols[row, sample]
            value = (low + symbol) << shift
            if shift > 0:
                value += symbols[row + 1, sample]
            values[sample, position] = value
            escaping += symbol == size
        for sample in range(values.shape[0] if escaping else 0):
            if symbols[row, sample] == size:
                start = escaped * values.itemsize
                if start + values.itemsize <= escapes.size:
                    value = 0
                    for byte in range(values.itemsize):
                        value |= np.int64(escapes[start + byte]) << (8 * byte)
                    values[sample, position] = value
                escaped += 1
        row += 2 if shift > 0 else 1
    return escaped


@compile_loop
def decode_run(
    contents: NDArray[np.uint8],
    ends: NDArray[np.int64],
    count: int,
    tables: NDArray[np.int64],
    starts: NDArray[np.uint16],
    symbols_of_slots: NDArray[np.uint8],
    layout: NDArray[np.int64],
    values: NDArray[Any],
) -> int:
    """Fill values `(chunks, samples, positions)` from chunks that end at `ends`.

    Returns the first of them that doesn't hold so many values, or -1.
    """
    symbols = np.empty((tables.size, values.shape[1]), np.uint8)
    start = 0
    for chunk in range(values.shape[0]):
        content = contents[start : ends[chunk]]
        taken = pull(content, count, tables, starts, symbols_of_slots, symbols)
        if taken < 0:
            return chunk
        escaped = values_of(symbols, layout, content[taken:], values[chunk])
        if taken + escaped * values.itemsize != content.size:
            return chunk
        start = ends[chunk]
    return -1
