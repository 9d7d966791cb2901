"""An array of a store for zarr-python: it gets the bytes that the ledger recorded, or an error."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import numpy as np
from zarr.abc.store import ByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.storage import LocalStore

from engine.errors import CorruptStore
from engine.store.arrays import METADATA
from engine.store.contents import StoreContents

_SHARD = re.compile(r"c/(\d+)(/0)*")


class CheckedZarr(LocalStore):
    """The folder of one array, read-only; every chunk is checked before zarr decodes it."""

    def __init__(self, contents: StoreContents, name: str) -> None:
        """Serve the array `name` of the part of a store."""
        super().__init__(contents.objects.folder / contents.part.path / name, read_only=True)
        self._contents, self._name = contents, name

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Metadata, or a shard's object, index or chunk; None where the shard has no object.

        Raises:
            CorruptStore: it is missing, damaged, or not what the ledger recorded.
        """
        content = await asyncio.to_thread(self._checked, key, byte_range)
        buffer = (prototype or default_buffer_prototype()).buffer
        return None if content is None else buffer.from_bytes(content)

    def __reduce__(self) -> tuple[Any, ...]:
        folder = self._contents.objects.folder.absolute()
        options = (not self._contents.is_sealed, self._contents.trusted.max_memory_bytes)
        return _reopened, (folder, *options, self._name)

    def _checked(self, key: str, byte_range: ByteRequest | None) -> bytes | None:
        contents, path = self._contents, f"{self._contents.part.path}/{self._name}/{key}"
        if key == METADATA:
            return contents.trusted.get(path)
        found = _SHARD.fullmatch(key)
        if found is None or not contents.has(self._name, int(found[1])):
            return None
        shard = int(found[1])
        starts, sizes = contents.index(self._name, shard).T
        if isinstance(byte_range, SuffixByteRequest):
            return contents.objects.get_range(path, -byte_range.suffix, byte_range.suffix)
        chunks = np.flatnonzero(starts != np.iinfo(np.uint64).max)
        if isinstance(byte_range, RangeByteRequest):
            chunks = np.flatnonzero(starts == byte_range.start)
        for chunk in chunks:
            contents.read_chunk(self._name, shard, int(chunk))
        if not isinstance(byte_range, RangeByteRequest):
            return contents.objects.get(path)
        if len(chunks) != 1 or sizes[chunks[0]] != byte_range.end - byte_range.start:
            raise CorruptStore(f"{contents.objects}: no chunk of {path} lies at {byte_range.start}")
        return contents.objects.get_range(path, byte_range.start, int(sizes[chunks[0]]))


def _reopened(folder: Path, incomplete: bool, max_memory_bytes: int, name: str) -> CheckedZarr:
    contents = StoreContents(folder, incomplete=incomplete, max_memory_bytes=max_memory_bytes)
    return CheckedZarr(contents, name)
