"""An array of a store for zarr-python: it gets the bytes that the ledger recorded, or an error."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from zarr.abc.store import ByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.storage import LocalStore

from engine.store.arrays import METADATA
from engine.store.shard import index_size_bytes

if TYPE_CHECKING:
    from engine.store.contents import StoreContents

_SHARD = re.compile(r"c/(\d+)[/0]*")


class CheckedZarr(LocalStore):
    """The folder of one array as a read-only Zarr store, every chunk checked before zarr has it."""

    def __init__(self, contents: StoreContents, name: str) -> None:
        """Serve the array `name` of a part."""
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

    def _checked(self, key: str, byte_range: ByteRequest | None) -> bytes | None:
        contents, name = self._contents, self._name
        if key == METADATA:
            return contents.trusted.get(f"{contents.part.path}/{name}/{METADATA}")
        found = _SHARD.fullmatch(key)
        if found is None or not contents.has(name, int(found[1])):
            return None
        shard = int(found[1])
        index, table = contents.index(name, shard)
        if isinstance(byte_range, SuffixByteRequest):
            return table
        chunks = [contents.checked_chunk(name, shard, chunk) for chunk in wanted]
        return b"".join([*chunks, table])
