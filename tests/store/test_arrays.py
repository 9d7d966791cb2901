"""Metadata documents: what zarr-python makes of them is what they were meant to say."""

import json

import numpy as np
import pytest
import zarr

from engine.errors import InvalidInput
from engine.geometry import RowGrid
from engine.store.arrays import (
    METADATA,
    ShardedArray,
    bytes_metadata,
    group_metadata,
    group_paths,
)
from engine.store.coding import DEFAULT_CODED, Coded, Coding
from engine.store.prediction import Prediction


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


PREDICTED = Coded(Prediction((2,), offsets=((0, 1), (1, 0)), weights=(99, -7)), Coding(planes=True))
ARRAYS = [
    ShardedArray("a", RowGrid(10, 2, 6), (4, 8), np.dtype("int8"), -128, {"unit": 2.5}),
    ShardedArray("a", RowGrid(10, 2, 6), (), np.dtype("bool"), False),
    ShardedArray("a", RowGrid(10, 2, 6), (4, 8), np.dtype("int16"), 0, {}, PREDICTED),
    ShardedArray(
        "a",
        RowGrid(9, 3, 3),
        (4, 8, 3),
        np.dtype("uint8"),
        0,
        coded=Coded(Prediction((3,), (1, 2)), Coding("pcodec", 8, samples_last=False)),
    ),
    ShardedArray(
        "a", RowGrid(9, 3, 3), (4,), np.dtype("float32"), 0, coded=Coded(coding=Coding(planes=True))
    ),
]


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_the_metadata_reads_back(array):
    assert ShardedArray.from_metadata("a", json.loads(array.metadata())) == array


def test_an_array_of_bytes_of_differences(tmp_path):
    array = ARRAYS[2]
    found = opened(tmp_path, array.metadata())
    assert (found.shape, found.shards, found.chunks) == ((10, 4, 8, 2), (6, 4, 8, 2), (2, 4, 8, 2))
    assert found.dtype == np.uint8
    assert array.key(7) == "a/c/7/0/0/0"
    assert (array.chunk_shape, array.item_bytes) == ((2, 4, 8), 64)
    assert dict(found.attrs) == {
        "bytes_of": "int16",
        "prediction": {
            "differences": [2],
            "linear": {"offsets": [[0, 1], [1, 0]], "weights": [99, -7]},
        },
    }


@pytest.mark.parametrize(
    ("array", "changes"),
    [
        (0, {"shape": [10, 4, 0]}),
        (0, {"shape": [10, 4, True]}),
        (0, {"data_type": "complex64"}),
        (0, {"codecs": []}),
        (0, {"attributes": {"prediction": {"differences": [3]}}}),
        (1, {"attributes": {"prediction": {"differences": [0]}}}),
        (2, {"attributes": {"bytes_of": "int32"}}),
        (2, {"attributes": {"bytes_of": "bool"}}),
        (2, {"attributes": {"bytes_of": "U9"}}),
        (2, {"attributes": {}}),
        (2, {"data_type": "int8"}),
        (4, {"attributes": {"bytes_of": "float32", "prediction": {"differences": [1]}}}),
    ],
)
def test_metadata_that_makes_no_sense_is_refused(array, changes):
    document = json.loads(ARRAYS[array].metadata()) | changes
    with pytest.raises((InvalidInput, LookupError, TypeError, ValueError)):
        ShardedArray.from_metadata("a", document)


def test_latents_are_coded_as_the_format_says_without_attributes():
    assert ARRAYS[0].coded is DEFAULT_CODED
    assert json.loads(ARRAYS[0].metadata())["attributes"] == {"unit": 2.5}


@pytest.mark.parametrize(("item_shape", "key"), [((), "a/c/7"), ((4, 8), "a/c/7/0/0")])
def test_the_key_of_a_shard(item_shape, key):
    assert ShardedArray("a", RowGrid(10, 1, 1), item_shape, np.dtype("i1"), 0).key(7) == key


@pytest.mark.parametrize("coded", [None, DEFAULT_CODED])
def test_an_array_of_bytes(coded, tmp_path):
    found = opened(tmp_path, bytes_metadata(1000, 300, coded))
    assert (found.shape, found.chunks, found.dtype) == ((1000,), (300,), np.uint8)
    assert [type(codec).__name__ for codec in found.compressors] == (
        ["ZstdCodec", "Crc32cCodec"] if coded else []
    )


def test_a_group(tmp_path):
    assert dict(opened(tmp_path, group_metadata({"a": [1]})).attrs) == {"a": [1]}


def test_the_groups_above_nodes():
    assert group_paths(["data/part-0/latents", "data/part-0/sidecars/x", "codecs"]) == [
        "data", "data/part-0", "data/part-0/sidecars"
    ]  # fmt: skip
