"""Reads what lies in a store: head, codec, ledger, and the chunks of its arrays."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.codec.files import MANIFEST, CodecFiles
from engine.errors import CorruptCodec, CorruptStore, IncompleteStore, InvalidInput
from engine.geometry import RowGrid
from engine.store.arrays import METADATA, ShardedArray
from engine.store.head import ATTRIBUTE, WRITING, Head, Part
from engine.store.ledger import parse_records, record_dtype
from engine.store.objects import LocalObjects
from engine.store.plan import LEDGER, VARIABLE
from engine.store.shard import CRC_BYTES, decode_chunk, decode_index, index_size_bytes

if TYPE_CHECKING:
    import zarr


class StoreContents:
    """A sealed store on the disk, checked against its head as far as it is read."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read the head.

        Raises:
            InvalidInput: there is nothing at `path`.
            CorruptStore: it isn't a latent store, or its head is damaged.
            IncompleteStore: the job that writes it has not ended.
        """
        self.objects = LocalObjects(path)
        if not Path(path).exists():
            raise InvalidInput(f"{path}: no such store")
        if not Path(path, METADATA).is_file():
            raise CorruptStore(f"{path}: not a latent store (no {METADATA} in it)")
        self.head = _read_head(self.objects)
        if self.head.state == WRITING:
            raise IncompleteStore(
                f"{path}: the job that writes this store has not ended; "
                f"run the same `engine compress` again to finish it"
            )
        self._indexes: dict[tuple[str, int], NDArray[np.uint64]] = {}
        self._lock = threading.Lock()

    @property
    def part(self) -> Part:
        """The part that holds the samples."""
        return self.head.variables[VARIABLE][0]

    @functools.cached_property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the variable's group: shape, dtype, guarantee, step."""
        document = self._metadata(f"{VARIABLE}/{METADATA}")
        attributes: dict[str, Any] = document["attributes"]
        return attributes

    @functools.cached_property
    def arrays(self) -> dict[str, ShardedArray]:
        """The arrays with an object in every shard, by name, in the ledger's order."""
        return {name: self._sharded_array(name) for name in self.part.arrays}

    @functools.cached_property
    def ledger(self) -> NDArray[Any]:
        """All ledger records, one a shard."""
        raw = self._bytes_array(f"{self.part.path}/{LEDGER}")
        dtype = record_dtype(list(self.arrays.values()))
        shards = next(iter(self.arrays.values())).grid.shard_count
        if len(raw) != shards * dtype.itemsize:
            raise CorruptStore(f"{self.objects}: the ledger doesn't hold {shards} records")
        return parse_records(raw, dtype, bytes.fromhex(self.head.store_id))

    @functools.cached_property
    def codec_files(self) -> CodecFiles:
        """The codec that lies in the store."""
        folder = f"codecs/{self.head.codec}"
        names = {
            key.removeprefix(f"{folder}/").split("/")[0]
            for key in self.head.objects
            if key.startswith(f"{folder}/")
        } - {METADATA}
        contents = {name: self._bytes_array(f"{folder}/{name}") for name in sorted(names)}
        if MANIFEST not in contents:
            raise CorruptStore(f"{self.objects}: the codec has no {MANIFEST}")
        try:
            codec = CodecFiles.from_contents(contents.pop(MANIFEST), contents)
        except CorruptCodec as error:
            raise CorruptStore(f"{self.objects}: {folder}: {error}") from None
        if codec.digest != self.head.codec:
            raise CorruptStore(f"{self.objects}: {folder}: the codec's digest is wrong")
        return codec

    def zarr_array(self, name: str) -> zarr.Array[Any]:
        """An array of the part as zarr-python opens it, read-only."""
        import zarr

        return zarr.open_array(self.objects.folder / self.part.path / name, mode="r")

    def read_chunk(self, name: str, shard: int, chunk: int) -> NDArray[Any]:
        """One chunk `(chunk_samples, ...)` of an array: one ranged read, the index cached.

        Raises:
            CorruptStore: the object is missing, damaged, or not what the ledger recorded.
        """
        array = self.arrays[name]
        key = f"{self.part.path}/{array.key(shard)}"
        where = f"{self.objects}: chunk {chunk} of {key}"
        offset, length = (int(value) for value in self._index(name, shard)[chunk])
        content = self.objects.get_range(key, offset, length)
        recorded = self._recorded("chunk_crc32c", name, shard)[chunk]
        if int.from_bytes(content[-CRC_BYTES:], "little") != recorded:
            raise CorruptStore(f"{where} is not the one that the ledger recorded")
        return decode_chunk(content, array.chunk_shape, array.dtype, where)

    def expected_shard_objects(self) -> dict[str, tuple[int, str]]:
        """Size in bytes and sha256, as the ledger has them, of every shard object."""
        return {
            f"{self.part.path}/{array.key(shard)}": (
                int(record[f"size_bytes_{position}"]),
                bytes(record[f"sha256_{position}"]).hex(),
            )
            for position, array in enumerate(self.arrays.values())
            for shard, record in enumerate(self.ledger)
        }

    def _index(self, name: str, shard: int) -> NDArray[np.uint64]:
        cached = self._indexes.get((name, shard))
        if cached is not None:
            return cached
        array = self.arrays[name]
        key = f"{self.part.path}/{array.key(shard)}"
        size = index_size_bytes(array.grid.chunks_per_shard)
        content = self.objects.get_range(key, -size, size)
        index = decode_index(content, f"{self.objects}: {key}")
        if int.from_bytes(content[-CRC_BYTES:], "little") != self._recorded(
            "index_crc32c", name, shard
        ):
            raise CorruptStore(f"{self.objects}: {key} is not the one that the ledger recorded")
        with self._lock:
            self._indexes[name, shard] = index
        return index

    def _recorded(self, field: str, name: str, shard: int) -> Any:
        position = self.part.arrays.index(name)
        return self.ledger[shard][f"{field}_{position}"]

    def _metadata(self, key: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self._trusted(key))
        return document

    def _trusted(self, key: str) -> bytes:
        """An object that the head lists, checked against its digest there."""
        if key not in self.head.objects:
            raise CorruptStore(f"{self.objects}: the head doesn't list {key}")
        content = self.objects.get(key)
        size, sha256 = self.head.objects[key]
        if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
            raise CorruptStore(
                f"{self.objects}: {key} is damaged (expected {size} bytes with sha256 "
                f"{sha256[:12]}…, found {len(content)} bytes)"
            )
        return content

    def _bytes_array(self, name: str) -> bytes:
        document = self._metadata(f"{name}/{METADATA}")
        (size,) = document["shape"]
        (chunk_bytes,) = document["chunk_grid"]["configuration"]["chunk_shape"]
        chunks = []
        for chunk in range(-(-size // chunk_bytes)):
            key = f"{name}/c/{chunk}"
            where = f"{self.objects}: {key}"
            values = decode_chunk(self._trusted(key), (chunk_bytes,), np.dtype(np.uint8), where)
            chunks.append(values.tobytes())
        return b"".join(chunks)[:size]

    def _sharded_array(self, name: str) -> ShardedArray:
        document = self._metadata(f"{self.part.path}/{name}/{METADATA}")
        part = self.part
        (sharding,) = document["codecs"]
        chunk_samples = sharding["configuration"]["chunk_shape"][0]
        return ShardedArray(
            name=name,
            grid=RowGrid(part.samples, chunk_samples, part.shard_samples),
            item_shape=tuple(document["shape"][1:]),
            dtype=np.dtype(document["data_type"]),
            fill_value=document["fill_value"],
            attributes=document["attributes"],
        )


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a latent store, complete or not, lies at `path`."""
    try:
        document = json.loads(Path(path, METADATA).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and ATTRIBUTE in document.get("attributes", {})


def _read_head(objects: LocalObjects) -> Head:
    try:
        return Head.from_metadata(objects.get(METADATA))
    except CorruptStore as error:
        raise CorruptStore(f"{objects}: {error}") from None
