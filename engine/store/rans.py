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

_VALUES_AT_ONCE = 1 << 20  # what they become finds room in some megabytes


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
        return self._encode(self._native(values, 1))[0]

    def encode_run(self, rows: NDArray[Any]) -> list[bytes]:
        """Encode the chunks that `rows` `(n, *item_shape)` make up, many in one call of a loop."""
        chunks = self._native(rows, len(rows) // self._shape[0])
        at_once = max(1, _VALUES_AT_ONCE // max(1, chunks[:1].size))
        starts = range(0, len(chunks), at_once)
        parts = (self._encode(chunks[start : start + at_once]) for start in starts)
        return list(itertools.chain.from_iterable(parts))

    def _native(self, rows: NDArray[Any], chunks: int) -> NDArray[Any]:
        """The values of so many chunks `(chunks, samples, positions)`, as the loops take them."""
        native = np.ascontiguousarray(rows, self._dtype)
        return native.reshape(chunks, self._shape[0], self._positions)

    def _encode(self, chunks: NDArray[Any]) -> list[bytes]:
        """Encode chunks `(count, samples, positions)`."""
        from engine.store import rans_loops

        room = np.empty(len(chunks) * most_bytes(self._shape, self._dtype), np.uint8)
        ends = np.empty(len(chunks), np.int64)
        tables = (self._tables, self._coded.starts, self._coded.inverses)
        rans_loops.encode_run(chunks, self._states, *tables, self._layout, room, ends)
        content = room[: ends[-1]].tobytes()
        return [content[start:end] for start, end in itertools.pairwise([0, *ends.tolist()])]

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
        """Decode chunks, see `ChunkCoder`: all of them in one call of a loop.

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
