"""The tables of the entropy coder: how frequent each value is, position by position.

They are written once, into the metadata of an array; see `docs/format.md`, 3.9.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidInput
from engine.store.leb128 import fold, from_text, to_text, unfold

RANS_CODEC = "latent-engine.rans"
TOTAL_BITS = 12
TOTAL = 1 << TOTAL_BITS  # of the frequencies of a table, with that of the escape
MOST_SYMBOLS = 255
MOST_SHIFT = 8
MOST_TABLES = 1 << 12
STATES = (1, 2, 4)
MOST_STATES = max(STATES)
_DTYPES = (np.dtype(np.int8), np.dtype(np.int16))
_LONGEST_TEXT = MOST_TABLES * (3 + MOST_SYMBOLS) * 4  # three bytes in Base64 each
LARGEST = 1 << 16


@dataclass(frozen=True)
class RansTable:
    """How frequent the values of one position are, in units of 1/4096.

    Args of the dataclass:
        shift: so many low bits of each value are coded apart, all of them equally likely.
        low: the first symbol: what is left of the smallest value.
        frequencies: of `low`, `low + 1` and so on; what they lack to 4096 is for escapes.

    Raises:
        InvalidInput: there are no such frequencies, or nothing is left for escapes.
    """

    shift: int
    low: int
    frequencies: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse what no value, or not every value, could be coded by."""
        numbers = (self.shift, self.low, *self.frequencies)
        if (
            not all(type(number) is int for number in numbers)
            or not 0 <= self.shift <= MOST_SHIFT
            or not -LARGEST <= self.low < LARGEST
        ):
            raise InvalidInput(f"no table of integers from {self.low} on, shifted by {self.shift}")
        if (
            not 1 <= len(self.frequencies) <= MOST_SYMBOLS
            or min(self.frequencies) < 1
            or self.escape_frequency < 1
        ):
            raise InvalidInput(
                f"{len(self.frequencies)} frequencies that add up to {sum(self.frequencies)}, "
                f"expected 1 to {MOST_SYMBOLS} positive ones of less than {TOTAL} in all"
            )

    @property
    def escape_frequency(self) -> int:
        """How frequent values outside the table are."""
        return TOTAL - sum(self.frequencies)

    def numbers(self) -> list[int]:
        """The table as numbers from 0 on, as `RansTables.to_json` keeps them."""
        return [self.shift, fold(self.low), len(self.frequencies), *self.frequencies]

    @classmethod
    def from_numbers(cls, numbers: Sequence[int]) -> RansTable:
        """Read `numbers`.

        Raises:
            InvalidInput: they are those of no table.
        """
        shift, folded, _, *frequencies = numbers
        return cls(shift, unfold(folded), tuple(frequencies))


@dataclass(frozen=True)
class RansTables:
    """The tables of all positions of an item: of P positions and T tables, p has table `p*T // P`.

    Args of the dataclass:
        tables: one of each run of positions.
        states: how many take turns, 1, 2 or 4: a chunk gives 3 bytes for each, and is decoded the
            quicker the more there are.

    Raises:
        InvalidInput: there are none, too many, or another number of states.
    """

    tables: tuple[RansTable, ...]
    states: int = MOST_STATES

    def __post_init__(self) -> None:
        """Refuse what would take much memory, or what the loops don't do."""
        if type(self.states) is not int or self.states not in STATES:
            raise InvalidInput(f"rANS of {self.states!r} states, expected 1, 2 or 4")
        if not 1 <= len(self.tables) <= MOST_TABLES:
            raise InvalidInput(f"{len(self.tables)} tables, expected 1 to {MOST_TABLES}")

    def require(self, dtype: np.dtype[Any]) -> None:
        """Raise InvalidInput if values of `dtype` can't be coded by these tables."""
        if dtype.newbyteorder("=") not in _DTYPES:
            raise InvalidInput(f"values of {dtype} can't be coded by rANS, only int8 and int16")
        limits, (shifts, lows, sizes) = np.iinfo(dtype), self.columns
        if (lows < limits.min >> shifts).any() or (lows + sizes > (limits.max >> shifts) + 1).any():
            raise InvalidInput(f"a table has values that aren't {dtype}")

    def to_json(self) -> dict[str, Any]:
        """The codec's configuration in metadata: all numbers as LEB128, in Base64."""
        return {"states": self.states, "tables": self._text}

    @functools.cached_property
    def _text(self) -> str:
        return to_text(number for table in self.tables for number in table.numbers())

    @classmethod
    def from_json(cls, configuration: Mapping[str, Any]) -> RansTables:
        """Read `to_json`.

        Raises:
            InvalidInput: it makes no sense.
        """
        tables, start = [], 0
        try:
            states, text = configuration["states"], configuration["tables"]
            if len(text) > _LONGEST_TEXT:
                raise ValueError
            numbers = from_text(text)
            while start < len(numbers):
                stop = start + 3 + numbers[start + 2]
                tables.append(RansTable.from_numbers(numbers[start:stop]))
                start = stop
        except (LookupError, TypeError, ValueError):
            raise InvalidInput("the tables of a rANS codec are damaged") from None
        if start != len(numbers):
            raise InvalidInput("the tables of a rANS codec are cut off")
        return cls(tuple(tables), states)

    def scratch_bytes(self, shape: tuple[int, ...]) -> int:
        """The most memory that one buffer takes beside the values of a chunk of `shape`."""
        positions = math.prod(shape[1:])
        symbols, layout = 2 * shape[0] * positions, 3 * 8 * positions
        return max(symbols, layout, TOTAL * (len(self.tables) + MOST_SHIFT))

    @functools.cached_property
    def columns(self) -> NDArray[np.int64]:
        """Shift, low and number of frequencies of each table, `(3, tables)`."""
        numbers = [(table.shift, table.low, len(table.frequencies)) for table in self.tables]
        return np.array(numbers, np.int64).T.copy()

    @functools.cached_property
    def coded(self) -> CodedTables:
        """What the loops work with."""
        return CodedTables.of(self)


@dataclass(frozen=True)
class CodedTables:
    """Tables as the loops need them; equal tables are there once, uniform ones for low bits last.

    Args of the dataclass:
        places: which of the tables each of `RansTables.tables` is, int64.
        uniform: the place of the uniform table of so many bits, by the number of bits.
        starts: the first of the 4096 slots of each symbol `(tables, 257)`, uint16, and 4096 after
            the last.
        symbols: the symbol of each slot `(tables, 4096)`, uint8.
    """

    places: NDArray[np.int64]
    uniform: NDArray[np.int64]
    starts: NDArray[np.uint16]
    symbols: NDArray[np.uint8]

    @functools.cached_property
    def inverses(self) -> NDArray[np.uint64]:
        """2**44 / frequency of each symbol `(tables, 256)`, rounded up.

        A state below frequency * 2**20, and so below 2**32, is divided exactly by a product with it
        that takes no more than 64 bits, since no frequency exceeds 2**12.
        """
        frequencies = np.maximum(1, np.diff(self.starts)).astype(np.uint64)
        return (np.uint64((1 << 44) - 1) + frequencies) // frequencies

    @classmethod
    def of(cls, tables: RansTables) -> CodedTables:
        """Lay out `tables`."""
        wanted: dict[tuple[int, ...], int] = {}
        places = [
            wanted.setdefault((*table.frequencies, table.escape_frequency), len(wanted))
            for table in tables.tables
        ]
        shifts = {table.shift for table in tables.tables} - {0}
        uniform = np.zeros(MOST_SHIFT + 1, np.int64)
        for shift in sorted(shifts):
            equal = (TOTAL >> shift,) * (1 << shift)
            uniform[shift] = wanted.setdefault(equal, len(wanted))
        starts = np.zeros((len(wanted), MOST_SYMBOLS + 2), np.uint16)
        symbols = np.empty((len(wanted), TOTAL), np.uint8)
        for place, found in enumerate(wanted):
            starts[place, 1 : len(found) + 1] = np.cumsum(found)
            starts[place, len(found) + 1 :] = TOTAL
            symbols[place] = np.repeat(np.arange(len(found), dtype=np.uint8), found)
        return cls(np.array(places, np.int64), uniform, starts, symbols)
