"""Chunks of small integers as bytes: interleaved rANS over static tables, without any float.

Equal positions lie together and have one table. A chunk is its states, then words of 16 bits, then
the values outside the tables, as they are; see `docs/format.md`, 3.9.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptStore
from engine.store.rans_tables import MOST_STATES, RansTables


def most_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """The most bytes that a chunk of `shape` may take, by whatever tables."""
    # Of each value: a word for the symbol, one for its low bits, and the value as it is.
    return 4 * MOST_STATES + (2 + 2 + dtype.itemsize) * math.prod(shape)


class RansCoder:
    """Encodes and decodes chunks of one shape by tables that are laid out once."""

    def __init__(self, tables: RansTables, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Of chunks of `shape` = `(chunk_samples, *item_shape)`.

        Raises:
            InvalidInput: values of `dtype` can't be coded by these tables.
        """
        tables.require(dtype)
        self._states = tables.states
        self._coded, self._shape, self._dtype = tables.coded, shape, dtype.newbyteorder("=")
        self._positions = math.prod(shape[1:])
        used = np.arange(self._positions) * len(tables.tables) // max(1, self._positions)
        self._layout = np.ascontiguousarray(tables.columns[:, used])
        shifts = self._layout[0]
        # A position takes a row of symbols, and one of low bits where it has any.
        rows = np.stack([self._coded.places[used], self._coded.uniform[shifts]], axis=1)
        self._tables = rows[np.stack([shifts >= 0, shifts > 0], axis=1)]

    def encode(self, values: NDArray[Any]) -> bytes:
        """Encode the values of a chunk."""
        from engine.store import rans_loops

        native = np.ascontiguousarray(values, self._dtype).reshape(self._shape[0], self._positions)
        escapes = np.empty(native.size, self._dtype)
        symbols = np.empty((len(self._tables), self._shape[0]), np.uint8)
        escaped = rans_loops.symbols_of(native, *self._layout, symbols, escapes)
        states = np.empty(MOST_STATES, np.uint32)
        words = np.empty(symbols.size, np.uint16)
        tables = (self._tables, self._coded.starts, self._coded.inverses)
        first = rans_loops.push(symbols, *tables, self._states, states, words)
        parts = (states[: self._states], words[first:], escapes[:escaped])
        return b"".join(part.astype(part.dtype.newbyteorder("<")).tobytes() for part in parts)

    def decode(self, content: bytes, where: str) -> NDArray[Any]:
        """Decode a chunk.

        Raises:
            CorruptStore: the bytes are damaged, or hold another number of values; `where` names
                them.
        """
        values = np.empty(self._shape, self._dtype)
        self.decode_run([content], lambda _: where, values)
        return values

    def decode_run(
        self, contents: Sequence[bytes], where: Callable[[int], str], rows: NDArray[Any]
    ) -> None:
        """Decode chunks, see `ChunkDecoder`: all of them in one call of a compiled loop.

        Raises:
            CorruptStore: as `decode`.
        """
        from engine.store import rans_loops

        ends = np.array(list(itertools.accumulate(map(len, contents))), np.int64)
        failed = rans_loops.decode_run(
            np.frombuffer(b"".join(contents), np.uint8),
            ends,
            self._states,
            self._tables,
            self._coded.starts,
            self._coded.symbols,
            self._layout,
            rows.reshape(len(contents), self._shape[0], self._positions),
        )
        if failed >= 0:
            raise CorruptStore(f"{where(failed)} is damaged (it doesn't hold {self._shape} values)")
