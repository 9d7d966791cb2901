"""Reads what lies in a store: head, codec, ledger, and the chunks of its arrays."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.codec.files import MANIFEST, CodecFiles
from engine.errors import (
    CorruptCodec,
    CorruptStore,
    IncompatibleStore,
    IncompleteStore,
    InvalidInput,
)
from engine.geometry import RowGrid
from engine.quality import error_levels
from engine.store.arrays import METADATA, ShardedArray
from engine.store.head import ATTRIBUTE, VARIABLE, WRITING, Head, Part
from engine.store.ledger import parse_records, record_dtype
from engine.store.objects import LocalObjects
from engine.store.plan import LATENTS, LEDGER, QUALITY
from engine.store.shard import CRC_BYTES, decode_chunk, decode_index, index_size_bytes

if TYPE_CHECKING:
    import zarr

_CACHED_INDEXES = 4096
_MAX_CHUNK_BYTES = 1 << 32


class StoreContents:
    """A sealed store on the disk, checked against its head as far as it is read."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read the head.

        Raises:
            InvalidInput: there is nothing at `path`.
            CorruptStore: it isn't a latent store, or its head is damaged.
            IncompatibleStore: it needs a later version of the engine.
            IncompleteStore: the job that writes it has not ended.
        """
        self.objects = LocalObjects(path)
        self.head = read_head(self.objects)
        if self.head.state == WRITING:
            raise IncompleteStore(
                f"{path}: the job that writes this store has not ended; "
                f"run the same `engine compress` again to finish it"
            )
        self._index = functools.lru_cache(_CACHED_INDEXES)(self._read_index)

    @property
    def part(self) -> Part:
        """The part that holds the samples."""
        return self.head.variables[VARIABLE][0]

    @functools.cached_property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the variable's group: shape, dtype, guarantee, step."""
        key = f"{VARIABLE}/{METADATA}"
        with self._making_sense(key):
            attributes: dict[str, Any] = self._metadata(key)["attributes"]
            samples, *_ = _sizes(attributes["array_shape"])
            kind, step = np.dtype(attributes["dtype"]).kind, float(attributes["step"])
            if samples != self.part.samples or kind not in "iuf" or not step > 0:
                raise ValueError(f"{samples} samples of {attributes['dtype']} at step {step}")
        return attributes

    @functools.cached_property
    def arrays(self) -> dict[str, ShardedArray]:
        """The arrays with an object in every shard, by name, in the ledger's order."""
        arrays = {name: self._sharded_array(name) for name in self.part.arrays}
        if not {LATENTS, QUALITY} <= arrays.keys():
            raise CorruptStore(f"{self.objects}: the head lists no {LATENTS} or no {QUALITY}")
        return arrays

    @functools.cached_property
    def ledger(self) -> NDArray[Any]:
        """All ledger records, one a shard."""
        raw = self._bytes_array(f"{self.part.path}/{LEDGER}")
        dtype = record_dtype(list(self.arrays.values()))
        shards = self.arrays[LATENTS].grid.shard_count
        if len(raw) != shards * dtype.itemsize:
            raise CorruptStore(f"{self.objects}: the ledger doesn't hold {shards} records")
        try:
            return parse_records(raw, dtype, bytes.fromhex(self.head.store_id))
        except CorruptStore as error:
            raise CorruptStore(f"{self.objects}: {error}") from None

    @functools.cached_property
    def error_levels(self) -> NDArray[np.float64]:
        """The 256 errors, in the samples' units, that the codes of the quality stand for."""
        with self._making_sense(f"{self.part.path}/{QUALITY}/{METADATA}"):
            return error_levels(float(self.arrays[QUALITY].attributes["unit"]))

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
        """An array of the part as zarr-python opens it, read-only; only its metadata is checked."""
        import zarr

        self._trusted(f"{self.part.path}/{name}/{METADATA}")
        return zarr.open_array(self.objects.folder / self.part.path / name, mode="r")

    def read_array(self, name: str) -> NDArray[Any]:
        """A whole array of the part `(samples, ...)`, every chunk checked as in `read_chunk`."""
        array = self.arrays[name]
        values = np.empty((array.grid.samples, *array.item_shape), array.dtype)
        for start in range(0, len(values), array.grid.chunk_samples):
            rows = values[start : start + array.grid.chunk_samples]
            shard, chunk, _ = array.grid.locate(start)
            rows[:] = self.read_chunk(name, shard, chunk)[: len(rows)]
        return values

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
        if _closing_crc32c(content) != self._recorded("chunk_crc32c", name, shard)[chunk]:
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

    def _read_index(self, name: str, shard: int) -> NDArray[np.uint64]:
        array = self.arrays[name]
        key = f"{self.part.path}/{array.key(shard)}"
        size = index_size_bytes(array.grid.chunks_per_shard)
        content = self.objects.get_range(key, -size, size)
        if _closing_crc32c(content) != self._recorded("index_crc32c", name, shard):
            raise CorruptStore(f"{self.objects}: {key} is not the one that the ledger recorded")
        return decode_index(content, f"{self.objects}: {key}")

    def _recorded(self, field: str, name: str, shard: int) -> Any:
        position = self.part.arrays.index(name)
        return self.ledger[shard][f"{field}_{position}"]

    def _metadata(self, key: str) -> dict[str, Any]:
        with self._making_sense(key):
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
        key = f"{name}/{METADATA}"
        with self._making_sense(key):
            document = self._metadata(key)
            (size,) = _sizes(document["shape"])
            (chunk_bytes,) = _sizes(document["chunk_grid"]["configuration"]["chunk_shape"])
        content = bytearray()
        while len(content) < size:
            key = f"{name}/c/{len(content) // chunk_bytes}"
            where = f"{self.objects}: {key}"
            chunk = decode_chunk(self._trusted(key), (chunk_bytes,), np.dtype(np.uint8), where)
            content += chunk.tobytes()
        return bytes(content[:size])

    def _sharded_array(self, name: str) -> ShardedArray:
        key, part = f"{self.part.path}/{name}/{METADATA}", self.part
        with self._making_sense(key):
            document = self._metadata(key)
            samples, *item_shape = _sizes(document["shape"])
            (sharding,) = document["codecs"]
            chunk_samples, *_ = _sizes(sharding["configuration"]["chunk_shape"])
            dtype = np.dtype(document["data_type"])
            chunk_bytes = math.prod((chunk_samples, *item_shape)) * dtype.itemsize
            if (
                samples != part.samples
                or dtype.kind not in "biuf"
                or chunk_bytes > _MAX_CHUNK_BYTES
            ):
                raise ValueError(f"{samples} samples of {dtype}, {chunk_bytes} bytes a chunk")
            return ShardedArray(
                name=name,
                grid=RowGrid(part.samples, chunk_samples, part.shard_samples),
                item_shape=tuple(item_shape),
                dtype=dtype,
                fill_value=document["fill_value"],
                attributes=dict(document["attributes"]),
            )

    @contextlib.contextmanager
    def _making_sense(self, key: str) -> Iterator[None]:
        """Metadata can have the digest that the head lists, and still say nothing sensible."""
        try:
            yield
        except (LookupError, TypeError, ValueError, ArithmeticError, InvalidInput) as error:
            raise CorruptStore(f"{self.objects}: {key} makes no sense ({error!r})") from None


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a latent store, complete or not, lies at `path`."""
    try:
        document = json.loads(Path(path, METADATA).read_bytes())
    except (OSError, ValueError):
        return False
    attributes = document.get("attributes") if isinstance(document, dict) else None
    return isinstance(attributes, dict) and ATTRIBUTE in attributes


def read_head(objects: LocalObjects) -> Head:
    """Read the head of a store, complete or not.

    Raises:
        InvalidInput: there is nothing.
        CorruptStore: it isn't a latent store, or its head is damaged.
        IncompatibleStore: it needs a later version of the engine.
    """
    if objects.size_of(METADATA) is None:
        if not objects.folder.exists():
            raise InvalidInput(f"{objects}: no such store; make one with `engine compress`")
        raise CorruptStore(f"{objects}: not a latent store (no {METADATA} in it)")
    try:
        return Head.from_metadata(objects.get(METADATA))
    except (CorruptStore, IncompatibleStore) as error:
        raise type(error)(f"{objects}: {error}") from None


def _sizes(values: Any) -> tuple[int, ...]:
    """The lengths of axes as metadata has them."""
    if not all(type(value) is int and value > 0 for value in values):
        raise ValueError(f"axes of {values}")
    return tuple(values)


def _closing_crc32c(content: bytes) -> int:
    return int.from_bytes(content[-CRC_BYTES:], "little")
