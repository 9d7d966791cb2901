"""Metadata documents: what zarr-python makes of them is what they were meant to say."""

import json

import numpy as np
import pytest
import zarr

from engine.geometry import RowGrid
from engine.store.arrays import (
    METADATA,
    ShardedArray,
    bytes_metadata,
    group_metadata,
    group_paths,
)


def opened(folder, content):
    (folder / METADATA).write_bytes(content)
    return zarr.open(folder, mode="r")


@pytest.mark.parametrize(("dtype", "fill"), [("int8", -128), ("int16", -32768), ("bool", False)])
def test_a_sharded_array(dtype, fill, tmp_path):
    array = ShardedArray("a", RowGrid(10, 2, 6), (4, 8), np.dtype(dtype), fill, {"unit": 2.5})
    found = opened(tmp_path, array.metadata())
    assert (found.shape, found.shards, found.chunks) == ((10, 4, 8), (6, 4, 8), (2, 4, 8))
    assert (found.dtype, found.fill_value) == (np.dtype(dtype), fill)
    assert dict(found.attrs) == {"unit": 2.5}
    assert found.metadata.dimension_names == ("sample", "a_1", "a_2")
    codecs = json.loads(array.metadata())["codecs"][0]["configuration"]
    assert [codec["name"] for codec in codecs["codecs"]] == ["transpose", "bytes", "zstd", "crc32c"]
    assert codecs["codecs"][0]["configuration"]["order"] == [1, 2, 0]
    assert codecs["index_location"] == "end"


@pytest.mark.parametrize(("item_shape", "key"), [((), "a/c/7"), ((4, 8), "a/c/7/0/0")])
def test_the_key_of_a_shard(item_shape, key):
    assert ShardedArray("a", RowGrid(10, 1, 1), item_shape, np.dtype("i1"), 0).key(7) == key


@pytest.mark.parametrize("compressed", [False, True])
def test_an_array_of_bytes(compressed, tmp_path):
    found = opened(tmp_path, bytes_metadata(1000, 300, compressed=compressed))
    assert (found.shape, found.chunks, found.dtype) == ((1000,), (300,), np.uint8)
    assert [type(codec).__name__ for codec in found.compressors] == (
        ["ZstdCodec", "Crc32cCodec"] if compressed else []
    )


def test_a_group(tmp_path):
    assert dict(opened(tmp_path, group_metadata({"a": [1]})).attrs) == {"a": [1]}


def test_the_groups_above_nodes():
    assert group_paths(["data/part-0/latents", "data/part-0/sidecars/x", "codecs"]) == [
        "data", "data/part-0", "data/part-0/sidecars"
    ]  # fmt: skip
