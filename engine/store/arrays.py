"""The Zarr arrays of a store, and the metadata documents that describe them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.codec.sample_format import DTYPES
from engine.errors import InvalidInput
from engine.geometry import RowGrid
from engine.store.coding import BYTES_OF, DEFAULT_CODED, PREDICTION, Coded
from engine.store.rans import most_bytes
from engine.store.shard import ShardObject, decode_chunk, encode_shard
from engine.store.shard_index import CRC_BYTES, ZARR_INDEX, ShardIndex

METADATA = "zarr.json"
_FREE = ("attributes", "dimension_names")
_DTYPES = DTYPES | {"bool": np.dtype(np.bool_)}
_MOST_AXES = 64  # of NumPy's arrays
_LONGEST_AXIS = (1 << 63) - 1


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

    @property
    def chunk_bytes(self) -> int:
        """The most memory that one buffer takes while a chunk is decoded."""
        predicting = self.coded.prediction.scratch_bytes(self.item_shape)
        coding = self.coded.coding.scratch_bytes(self.chunk_shape)
        return max(self.item_bytes * self.grid.chunk_samples, predicting, coding)

    @property
    def index(self) -> ShardIndex:
        """The form of the index of a shard: short where chunks are small, and not for all tools."""
        if self.coded.coding.tables is None:
            return ZARR_INDEX
        return ShardIndex.of_lengths(CRC_BYTES + most_bytes(self.chunk_shape, self.dtype))

    def key(self, shard: int) -> str:
        """Name of the object of a shard, below the part."""
        return "/".join([self.name, "c", str(shard), *["0"] * len(self._stored_item)])

    def encode_shard(self, rows: NDArray[Any]) -> ShardObject:
        """Encode the rows `(n, *item_shape)` of one shard."""
        grid = self.grid
        chunks = grid.chunk_samples, grid.chunks_per_shard
        return encode_shard(rows, *chunks, self.coded, self.index)

    def decode_chunk(self, content: bytes, where: str) -> NDArray[Any]:
        """Decode one chunk to `chunk_shape`.

        Raises:
            CorruptStore: the bytes are damaged; `where` names them.
        """
        return decode_chunk(content, self.chunk_shape, self.dtype, where, self.coded)

    def metadata(self) -> bytes:
        """The `zarr.json` of this array."""
        axes = [f"{self.name}_{axis}" for axis in range(1, len(self._stored_item) + 1)]
        attributes = dict(self.attributes) | self.coded.attributes(self.dtype)
        free = {"attributes": attributes, "dimension_names": ["sample", *axes]}
        return _to_json(self._layout() | free)

    def _layout(self) -> dict[str, Any]:
        """The members of the `zarr.json` that decide where each value lies."""
        item, coding = self._stored_item, self.coded.coding
        dtype = coding.stored_dtype(self.dtype)
        sharding = {
            "chunk_shape": [self.grid.chunk_samples, *item],
            "codecs": coding.codecs(len(self.item_shape) + 1, self.dtype),
            "index_codecs": self.index.codecs(),
            "index_location": "end",
        }
        return _array_layout(
            shape=[self.grid.samples, *item],
            chunk_shape=[self.grid.shard_samples, *item],
            codecs=[{"name": "sharding_indexed", "configuration": sharding}],
            dtype=dtype,
            fill_value=dtype.type(self.fill_value).item(),
        )

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
        dtype = _DTYPES[attributes.get(BYTES_OF, document["data_type"])]
        if BYTES_OF in attributes and dtype.kind == "b":
            raise InvalidInput(f"{name}: bytes of {dtype}")
        if BYTES_OF in attributes and (
            document["data_type"] != "uint8" or item_shape.pop() != dtype.itemsize
        ):
            raise InvalidInput(f"{name}: bytes of {dtype} in the wrong shape")
        codecs = sharding["configuration"]["codecs"]
        coded = Coded.from_metadata(attributes, codecs, len(item_shape) + 1, dtype)
        own = {key: attributes[key] for key in attributes.keys() - {BYTES_OF, PREDICTION}}
        grid = RowGrid(samples, chunk_samples, shard_samples)
        array = cls(name, grid, tuple(item_shape), dtype, document["fill_value"], own, coded)
        if {key: value for key, value in document.items() if key not in _FREE} != array._layout():
            raise InvalidInput(f"{name}: isn't laid out as arrays of a store are")
        axes = document["dimension_names"]
        if len(axes) != len(document["shape"]) or not all(type(axis) is str for axis in axes):
            raise InvalidInput(f"{name}: has no names of {len(document['shape'])} axes")
        return array

    @property
    def _stored_item(self) -> tuple[int, ...]:
        """Shape of what the Zarr array holds of one sample."""
        return self.coded.coding.stored_shape(self.item_shape, self.dtype)


def bytes_metadata(size_bytes: int, chunk_bytes: int, coded: Coded | None) -> bytes:
    """The `zarr.json` of a one-dimensional uint8 array of plain chunks; None is uncompressed."""
    codecs = (coded or DEFAULT_CODED).coding.codecs(1, np.dtype(np.uint8))[1:]
    layout = _array_layout(
        shape=[size_bytes],
        chunk_shape=[chunk_bytes],
        codecs=codecs if coded else codecs[:1],
        dtype=np.dtype(np.uint8),
        fill_value=0,
    )
    return _to_json(layout | {"attributes": {}})


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
    if len(values) > _MOST_AXES:
        raise ValueError(f"{len(values)} axes")
    if not all(type(value) is int and 0 < value <= _LONGEST_AXIS for value in values):
        raise ValueError(f"axes of {values}")
    return tuple(values)


def _array_layout(
    shape: list[int],
    chunk_shape: list[int],
    codecs: list[dict[str, Any]],
    dtype: np.dtype[Any],
    fill_value: float,
) -> dict[str, Any]:
    """The members of an array's `zarr.json` but for those that are free."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": codecs,
        "fill_value": fill_value,
        "storage_transformers": [],
    }


def _to_json(document: Mapping[str, Any]) -> bytes:
    """On one line: in a small store, metadata are a good part of the bytes."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return (text + "\n").encode()
