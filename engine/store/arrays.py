"""The Zarr arrays of a store, and the metadata documents that describe them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.geometry import RowGrid
from engine.store.shard import ZSTD_LEVEL

METADATA = "zarr.json"


@dataclass(frozen=True)
class ShardedArray:
    """An array over the samples of a part: one object a shard, written by `store.shard`.

    `name` lies below the part; `item_shape` is what one sample has of it.
    """

    name: str
    grid: RowGrid
    item_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill_value: int
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of one chunk."""
        return (self.grid.chunk_samples, *self.item_shape)

    def key(self, shard: int) -> str:
        """Name of the object of a shard, below the part."""
        return "/".join([self.name, "c", str(shard), *["0"] * len(self.item_shape)])

    def metadata(self) -> bytes:
        """The `zarr.json` of this array."""
        from zarr.codecs import BytesCodec, Crc32cCodec, TransposeCodec, ZstdCodec

        axes = len(self.item_shape) + 1
        order = TransposeCodec(order=(*range(1, axes), 0))
        return _array_metadata(
            shape=(self.grid.samples, *self.item_shape),
            shards=(self.grid.shard_samples, *self.item_shape),
            chunks=self.chunk_shape,
            dtype=self.dtype,
            filters=(order,),
            serializer=BytesCodec(),
            compressors=(ZstdCodec(level=ZSTD_LEVEL), Crc32cCodec()),
            fill_value=self.fill_value,
            dimension_names=("sample", *(f"{self.name}_{axis}" for axis in range(1, axes))),
            attributes=dict(self.attributes),
        )


def bytes_metadata(size_bytes: int, chunk_bytes: int, *, compressed: bool) -> bytes:
    """The `zarr.json` of a one-dimensional uint8 array of plain chunks."""
    from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec

    return _array_metadata(
        shape=(size_bytes,),
        chunks=(chunk_bytes,),
        dtype=np.dtype(np.uint8),
        serializer=BytesCodec(),
        compressors=(ZstdCodec(level=ZSTD_LEVEL), Crc32cCodec()) if compressed else (),
        fill_value=0,
    )


def group_metadata(attributes: Mapping[str, Any]) -> bytes:
    """The `zarr.json` of a group."""
    document = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}
    return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def group_paths(names: Sequence[str]) -> list[str]:
    """The groups that lie above the nodes `names`, the root excepted."""
    above = {
        "/".join(name.split("/")[:end]) for name in names for end in range(1, name.count("/") + 1)
    }
    return sorted(above)


def _array_metadata(**description: Any) -> bytes:
    import zarr
    from zarr.storage import MemoryStore

    store: dict[str, Any] = {}
    zarr.create_array(MemoryStore(store), **description)
    return bytes(store[METADATA].to_bytes())
