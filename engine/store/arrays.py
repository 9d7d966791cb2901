"""The Zarr arrays of a store, and the metadata documents that describe them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidInput
from engine.geometry import RowGrid
from engine.store.coding import BYTES_OF, DEFAULT_CODED, LATENT_CODING, PREDICTION, Coded
from engine.store.shard import ShardObject, decode_chunk, encode_shard

METADATA = "zarr.json"


@dataclass(frozen=True)
class ShardedArray:
    """An array over the samples of a part: one object a shard, written by `store.shard`.

    `name` lies below the part; `item_shape` is what one sample has of it, of `dtype`. `coded` says
    what the Zarr array holds of that, and how: the values, differences of them, or their bytes.
    """

    name: str
    grid: RowGrid
    item_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill_value: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    coded: Coded = DEFAULT_CODED

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of the values of one chunk."""
        return (self.grid.chunk_samples, *self.item_shape)

    @property
    def item_bytes(self) -> int:
        """Size of one sample's values in memory."""
        return math.prod(self.item_shape) * self.dtype.itemsize

    def key(self, shard: int) -> str:
        """Name of the object of a shard, below the part."""
        return "/".join([self.name, "c", str(shard), *["0"] * len(self._stored_item)])

    def encode_shard(self, rows: NDArray[Any]) -> ShardObject:
        """Encode the rows `(n, *item_shape)` of one shard."""
        grid = self.grid
        return encode_shard(
            rows, grid.chunk_samples, grid.chunks_per_shard, self.fill_value, self.coded
        )

    def decode_chunk(self, content: bytes, where: str) -> NDArray[Any]:
        """Decode one chunk to `chunk_shape`.

        Raises:
            CorruptStore: the bytes are damaged; `where` names them.
        """
        return decode_chunk(content, self.chunk_shape, self.dtype, where, self.coded)

    def metadata(self) -> bytes:
        """The `zarr.json` of this array."""
        from zarr.codecs import BytesCodec

        item = self._stored_item
        axes = [f"{self.name}_{axis}" for axis in range(1, len(item) + 1)]
        document = _array_document(
            shape=(self.grid.samples, *item),
            shards=(self.grid.shard_samples, *item),
            chunks=(self.grid.chunk_samples, *item),
            dtype=self.coded.coding.stored_dtype(self.dtype),
            serializer=BytesCodec(),
            compressors=(),
            fill_value=self.fill_value,
            dimension_names=("sample", *axes),
            attributes=dict(self.attributes) | self.coded.attributes(self.dtype),
        )
        codecs = self.coded.coding.codecs(len(self.item_shape) + 1, self.dtype)
        document["codecs"][0]["configuration"]["codecs"] = codecs
        return _to_json(document)

    @classmethod
    def from_metadata(cls, name: str, document: Mapping[str, Any]) -> ShardedArray:
        """Read the `zarr.json` of an array.

        Raises:
            InvalidInput, LookupError, TypeError, ValueError: it makes no sense.
        """
        attributes = dict(document["attributes"])
        samples, *item_shape = axis_lengths(document["shape"])
        shard_samples, *_ = axis_lengths(document["chunk_grid"]["configuration"]["chunk_shape"])
        (sharding,) = document["codecs"]
        chunk_samples, *_ = axis_lengths(sharding["configuration"]["chunk_shape"])
        dtype = np.dtype(attributes.get(BYTES_OF, document["data_type"]))
        if dtype.kind not in "biuf" or (BYTES_OF in attributes and dtype.kind == "b"):
            raise InvalidInput(f"{name}: values of {dtype}")
        if BYTES_OF in attributes and (
            document["data_type"] != "uint8" or item_shape.pop() != dtype.itemsize
        ):
            raise InvalidInput(f"{name}: bytes of {dtype} in the wrong shape")
        codecs = sharding["configuration"]["codecs"]
        coded = Coded.from_metadata(attributes, codecs, len(item_shape) + 1, dtype)
        own = {key: attributes[key] for key in attributes.keys() - {BYTES_OF, PREDICTION}}
        grid = RowGrid(samples, chunk_samples, shard_samples)
        return cls(name, grid, tuple(item_shape), dtype, document["fill_value"], own, coded)

    @property
    def _stored_item(self) -> tuple[int, ...]:
        """Shape of what the Zarr array holds of one sample."""
        return self.coded.coding.stored_shape(self.item_shape, self.dtype)


def bytes_metadata(size_bytes: int, chunk_bytes: int, *, compressed: bool) -> bytes:
    """The `zarr.json` of a one-dimensional uint8 array of plain chunks."""
    from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec

    document = _array_document(
        shape=(size_bytes,),
        chunks=(chunk_bytes,),
        dtype=np.dtype(np.uint8),
        serializer=BytesCodec(),
        compressors=(ZstdCodec(level=LATENT_CODING.level), Crc32cCodec()) if compressed else (),
        fill_value=0,
    )
    return _to_json(document)


def group_metadata(attributes: Mapping[str, Any]) -> bytes:
    """The `zarr.json` of a group."""
    return _to_json({"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)})


def group_paths(names: Sequence[str]) -> list[str]:
    """The groups that lie above the nodes `names`, the root excepted."""
    above = {
        "/".join(name.split("/")[:end]) for name in names for end in range(1, name.count("/") + 1)
    }
    return sorted(above)


def axis_lengths(values: Any) -> tuple[int, ...]:
    """The lengths of axes as metadata has them; ValueError if they aren't positive integers."""
    if not all(type(value) is int and value > 0 for value in values):
        raise ValueError(f"axes of {values}")
    return tuple(values)


def _array_document(**description: Any) -> dict[str, Any]:
    """The metadata that zarr-python gives such an array."""
    import zarr
    from zarr.storage import MemoryStore

    store: dict[str, Any] = {}
    zarr.create_array(MemoryStore(store), **description)
    document: dict[str, Any] = json.loads(store[METADATA].to_bytes())
    return document


def _to_json(document: Mapping[str, Any]) -> bytes:
    """On one line: in a small store, metadata are a good part of the bytes."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return (text + "\n").encode()
