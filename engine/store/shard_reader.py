"""Reads chunks out of one shard: all that a read needs is at hand, nothing is parsed again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptStore
from engine.store.arrays import ShardedArray
from engine.store.objects import LocalObjects
from engine.store.shard import checked_body, closing_crc32c, decode_index, index_size_bytes


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
        self._index_crc32c, self._chunk_crc32c = index_crc32c, chunk_crc32c
        self._chunks = array.grid.chunks_per_shard
        self._decode = array.coded.decoder(array.chunk_shape, array.dtype)
        self.index: NDArray[np.uint64] = self._as_it_is_now(self._read_index)

    def read(self, chunk: int) -> NDArray[Any]:
        """One chunk `(chunk_samples, ...)`: one ranged read.

        Raises:
            CorruptStore: it is missing, damaged, or not what the ledger recorded.
        """
        return self._as_it_is_now(functools.partial(self._read, chunk))

    def _read(self, chunk: int) -> NDArray[Any]:
        where = f"{self._objects}: chunk {chunk} of {self._key}"
        offset, length = self.index.item(chunk, 0), self.index.item(chunk, 1)
        if length > self._size_bytes:
            raise CorruptStore(f"{where} is missing")
        content = self._objects.get_range(self._key, offset, length)
        if closing_crc32c(content) != self._chunk_crc32c.item(chunk):
            raise CorruptStore(f"{where} is not the one that the ledger recorded")
        return self._decode(checked_body(content, where), where)

    def _read_index(self) -> NDArray[np.uint64]:
        size, where = index_size_bytes(self._chunks), f"{self._objects}: {self._key}"
        content = self._objects.get_range(self._key, -size, size)
        if closing_crc32c(content) != self._index_crc32c:
            raise CorruptStore(f"{where} is not the one that the ledger recorded")
        return decode_index(content, where)

    def _as_it_is_now(self, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Read what is damaged once more, from the file that lies there now: see `repair`."""
        try:
            return read()
        except CorruptStore:
            if not self._objects.forget(self._key):
                raise
            return read()
