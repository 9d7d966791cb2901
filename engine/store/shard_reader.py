"""Reads chunks out of one shard: all that a read needs is at hand, nothing is parsed again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptStore
from engine.store.arrays import ShardedArray
from engine.store.objects import LocalObjects
from engine.store.shard_index import checked_body, closing_crc32c

_READ_BYTES = 1 << 20  # of several chunks at once

Read = TypeVar("Read")


class ShardReader:
    """The chunks of one array in one shard, compared with what the ledger recorded of them."""

    def __init__(
        self,
        objects: LocalObjects,
        key: str,
        array: ShardedArray,
        size_bytes: int,
        index_crc32c: int,
        chunk_crc32c: NDArray[np.uint32],
    ) -> None:
        """Name an object of `array`, and what the ledger recorded of it.

        Raises:
            CorruptStore: the index of its chunks is missing, damaged, or another one.
        """
        self._objects, self._key, self._size_bytes = objects, key, size_bytes
        self._folder = str(objects)
        self._index_crc32c, self._chunk_crc32c = index_crc32c, chunk_crc32c
        self._chunks, self._form = array.grid.chunks_per_shard, array.index
        self._coder = array.coded.for_chunks(array.chunk_shape, array.dtype)
        self._chunk_samples = array.grid.chunk_samples
        self.index: NDArray[np.uint64] = self._as_it_is_now(self._read_index)

    def read(self, chunk: int) -> NDArray[Any]:
        """One chunk `(chunk_samples, ...)`: one ranged read.

        Raises:
            CorruptStore: it is missing, damaged, or not what the ledger recorded.
        """
        content = self._as_it_is_now(functools.partial(self._content, chunk))
        return self._coder.decode(content, self._name(chunk))

    def read_run(self, first: int, stop: int) -> Iterator[NDArray[Any]]:
        """Chunks `first` to `stop - 1`, see `read`: one ranged read where they lie side by side."""
        for start, contents in self._runs(first, stop):
            for chunk, content in enumerate(contents, start):
                yield self._coder.decode(content, self._name(chunk))

    def fill(self, first: int, rows: NDArray[Any]) -> None:
        """Fill C-contiguous `rows` `(n, ...)` from the first of a chunk on; see `read_run`."""
        size = self._chunk_samples
        for start, contents in self._runs(first, first + -(-len(rows) // size)):
            room = rows[(start - first) * size :][: len(contents) * size]
            whole, rest = divmod(len(room), size)
            names = functools.partial(self._name_after, start)
            self._coder.decode_run(contents[:whole], names, room[: whole * size])
            if rest:
                room[-rest:] = self._coder.decode(contents[whole], names(whole))[:rest]

    def _runs(self, first: int, stop: int) -> Iterator[tuple[int, list[bytes]]]:
        """What chunks hold that are read at once, and which is the first of them."""
        for start, end in self._side_by_side(first, stop):
            yield start, self._as_it_is_now(functools.partial(self._contents, start, end))

    def _side_by_side(self, first: int, stop: int) -> Iterator[tuple[int, int]]:
        """Cut into runs of chunks that lie one right after the other, and aren't long."""
        start, begin, end = first, 0, 0
        for chunk, (offset, length) in enumerate(self.index[first:stop].tolist(), first):
            if chunk > start and (offset != end or offset + length - begin > _READ_BYTES):
                yield start, chunk
                start = chunk
            begin, end = (offset if chunk == start else begin), offset + length
        if start < stop:
            yield start, stop

    def _content(self, chunk: int) -> bytes:
        """What an encoded chunk holds."""
        offset, length = self._place(chunk)
        return self._checked(chunk, self._objects.get_range(self._key, offset, length))

    def _contents(self, first: int, stop: int) -> list[bytes]:
        """What the encoded chunks `first` to `stop - 1` hold, which lie side by side."""
        places = [self._place(chunk) for chunk in range(first, stop)]
        begin, end = places[0][0], sum(places[-1])
        read = self._objects.get_range(self._key, begin, end - begin)
        return [
            self._checked(chunk, read[offset - begin : offset - begin + length])
            for chunk, (offset, length) in enumerate(places, first)
        ]

    def _place(self, chunk: int) -> tuple[int, int]:
        """Where a chunk lies, and how long it is."""
        offset, length = self.index.item(chunk, 0), self.index.item(chunk, 1)
        if length > self._size_bytes:
            raise CorruptStore(f"{self._name(chunk)} is missing")
        return offset, length

    def _checked(self, chunk: int, content: bytes) -> bytes:
        """What an encoded chunk holds, once it is the one that was recorded."""
        if closing_crc32c(content) != self._chunk_crc32c.item(chunk):
            raise CorruptStore(f"{self._name(chunk)} is not the one that the ledger recorded")
        return checked_body(content, self._name(chunk))

    def _name_after(self, first: int, place: int) -> str:
        return self._name(first + place)

    def _name(self, chunk: int) -> str:
        return f"{self._folder}: chunk {chunk} of {self._key}"

    def _read_index(self) -> NDArray[np.uint64]:
        size, where = self._form.size_bytes(self._chunks), f"{self._folder}: {self._key}"
        content = self._objects.get_range(self._key, -size, size)
        if closing_crc32c(content) != self._index_crc32c:
            raise CorruptStore(f"{where} is not the one that the ledger recorded")
        return self._form.decode(content, where)

    def _as_it_is_now(self, read: Callable[[], Read]) -> Read:
        """Read what is damaged once more, from the file that lies there now: see `repair`."""
        try:
            return read()
        except CorruptStore:
            self._objects.forget(self._key)  # or another thread just did
            return read()
