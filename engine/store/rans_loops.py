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
    shifts: NDArray[np.int64],
    lows: NDArray[np.int64],
    sizes: NDArray[np.int64],
    symbols: NDArray[np.uint8],
    escapes: NDArray[Any],
) -> int:
    """Fill symbols `(rows, samples)` from values `(samples, positions)`; how many values escape."""
    row = escaped = 0
    for position in range(values.shape[1]):
        shift, low, size = shifts[position], lows[position], sizes[position]
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
def values_of(
    symbols: NDArray[np.uint8],
    shifts: NDArray[np.int64],
    lows: NDArray[np.int64],
    sizes: NDArray[np.int64],
    escapes: NDArray[Any],
    values: NDArray[Any],
) -> int:
    """Fill values `(positions, samples)` from symbols `(rows, samples)`; how many values escape.

    Those that `escapes` has no room for are counted only.
    """
    row = escaped = 0
    for position in range(values.shape[0]):
        shift, low, size = shifts[position], lows[position], sizes[position]
        for sample in range(values.shape[1]):
            values[position, sample] = (low + symbols[row, sample]) << shift
        if shift > 0:
            for sample in range(values.shape[1]):
                values[position, sample] += symbols[row + 1, sample]
        for sample in range(values.shape[1]):
            if symbols[row, sample] == size:
                if escaped < escapes.size:
                    values[position, sample] = escapes[escaped]
                escaped += 1
        row += 2 if shift > 0 else 1
    return escaped


@compile_loop
def push(
    symbols: NDArray[np.uint8],
    tables: NDArray[np.int64],
    starts: NDArray[np.uint64],
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
    for row in range(symbols.shape[0] - 1, -1, -1):
        start_of = starts[tables[row]]
        for sample in range(symbols.shape[1] - 1, -1, -1):
            if count == 4:
                one, two, three, four = four, one, two, three
            elif count == 2:
                one, two = two, one
            symbol = symbols[row, sample]
            frequency = start_of[symbol + 1] - start_of[symbol]
            if one >= frequency << np.uint64(20):
                first -= np.uint64(1)
                words[first] = one & np.uint64(0xFFFF)
                one >>= np.uint64(16)
            one = ((one // frequency) << np.uint64(12)) + one % frequency + start_of[symbol]
    states[0], states[1], states[2], states[3] = one, two, three, four
    return np.int64(first)


@compile_loop
def pull(
    states: NDArray[np.uint32],
    count: int,
    words: NDArray[np.uint16],
    tables: NDArray[np.int64],
    starts: NDArray[np.uint64],
    guesses: NDArray[np.uint8],
    symbols: NDArray[np.uint8],
) -> np.int64:
    """Decode symbols `(rows, samples)`, row r by table `tables[r]`, from 4 `states`, see `push`.

    Returns how many words it took; -1 if there are fewer, or a state doesn't end where encoding
    began. The last element of `words` is room to read, but no word.
    """
    one, two = np.uint64(states[0]), np.uint64(states[1])
    three, four = np.uint64(states[2]), np.uint64(states[3])
    taken, available = np.uint64(0), np.uint64(words.size - 1)
    for row in range(symbols.shape[0]):
        start_of, guess_of = starts[tables[row]], guesses[tables[row]]
        for sample in range(symbols.shape[1]):
            slot = one & np.uint64(0xFFF)
            symbol = np.uint64(guess_of[slot >> np.uint64(4)])
            while slot >= start_of[symbol + np.uint64(1)]:
                symbol += np.uint64(1)
            symbols[row, sample] = symbol
            start = start_of[symbol]
            frequency = start_of[symbol + np.uint64(1)] - start
            one = (one >> np.uint64(12)) * frequency + slot - start
            if one < np.uint64(LOWEST):
                one = (one << np.uint64(16)) | np.uint64(words[taken])
                taken += np.uint64(1)
                if taken > available:
                    return np.int64(-1)
            if count == 4:
                one, two, three, four = two, three, four, one
            elif count == 2:
                one, two = two, one
    ended = one == two == three == four == np.uint64(LOWEST)
    return np.int64(taken) if ended else np.int64(-1)
