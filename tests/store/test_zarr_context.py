"""zarr-python finds the contextual coder by its entry point, and reads and writes by it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import CorruptStore, InvalidInput
from engine.geometry import RowGrid
from engine.store.arrays import METADATA, ShardedArray
from engine.store.coding import CONTEXT, Coded, Coding
from engine.store.context_model import CONTEXT_CODEC, DTYPES, ContextModel, Leaf
from engine.store.prediction import Prediction
from engine.store.rans_tables import RansTable
from engine.store.zarr_context import ContextCodec

from ..laws import same_values
from .test_context_model import context_models
from .test_shard import as_stored, random_values, read_ours, write_ours

LEAF = Leaf(0, RansTable(0, -1, (1000, 2000, 1000)))
MODEL = ContextModel(((1,),), (), (LEAF,))


@st.composite
def context_arrays(draw):
    dtype = draw(st.sampled_from(DTYPES))
    item_shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    coding = Coding(CONTEXT, model=draw(context_models(len(item_shape))))
    chunk_samples = draw(st.integers(1, 5))
    grid = RowGrid(draw(st.integers(1, 30)), chunk_samples, chunk_samples * draw(st.integers(1, 4)))
    prediction = draw(st.sampled_from([Prediction(), Prediction((0,))]))
    return ShardedArray("values", grid, item_shape, dtype, 0, coded=Coded(prediction, coding))


@settings(max_examples=20, deadline=None)
@given(array=context_arrays(), seed=st.integers(0, 99))
def test_zarr_reads_what_we_write(array, seed, tmp_path_factory):
    values = random_values(array, seed)
    folder = write_ours(tmp_path_factory.mktemp("ours"), array, values)
    stored, found = as_stored(array, values), zarr.open_array(folder, mode="r")
    assert same_values(found[...], stored)
    assert same_values(found[len(stored) // 2 :], stored[len(stored) // 2 :])
    assert same_values(read_ours(folder.parent, array), values)


@settings(max_examples=20, deadline=None)
@given(array=context_arrays(), seed=st.integers(0, 99))
def test_we_read_what_zarr_writes(array, seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zarr")
    (folder / array.name).mkdir()
    (folder / array.name / METADATA).write_bytes(array.metadata())
    values = random_values(array, seed)
    zarr.open_array(folder / array.name, mode="r+")[...] = as_stored(array, values)
    assert same_values(read_ours(folder, array), values)


@settings(max_examples=20, deadline=None)
@given(array=context_arrays())
def test_metadata_name_the_coding(array):
    assert ShardedArray.from_metadata("values", json.loads(array.metadata())) == array


@settings(max_examples=10, deadline=None)
@given(model=context_models(2))
def test_an_array_of_zarr_without_shards(model):
    """After `transpose` too, which zarr-python gets wrong with codecs of numcodecs."""
    values = np.random.default_rng(3).integers(-9, 9, (10, 6, 5)).astype(np.int16)
    for filters in ([], [zarr.codecs.TransposeCodec(order=(1, 2, 0))]):
        array = zarr.create_array(
            zarr.storage.MemoryStore(),
            shape=values.shape,
            chunks=(4, 6, 5),
            dtype="int16",
            filters=filters,
            serializer=ContextCodec(model),
            compressors=[zarr.codecs.Crc32cCodec()],
        )
        array[...] = values
        assert same_values(array[...], values)
        assert same_values(array[3:9:2, 1], values[3:9:2, 1])
        (codec,) = [c for c in array.metadata.to_dict()["codecs"] if c["name"] == CONTEXT_CODEC]
        assert ContextCodec.from_dict(codec) == ContextCodec(model)


def test_a_fresh_process_reads_it_without_importing_the_engine(tmp_path):
    coded = Coded(coding=Coding(CONTEXT, model=MODEL))
    array = ShardedArray("values", RowGrid(10, 2, 4), (3,), np.dtype(np.int8), 0, coded=coded)
    folder = write_ours(tmp_path, array, random_values(array))
    program = "import sys, zarr; print(zarr.open(sys.argv[1], mode='r')[...].tolist())"
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(found.stdout) == random_values(array).tolist()


def small_array(dtype="int8"):
    return zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=(4, 2),
        chunks=(4, 2),
        dtype=dtype,
        serializer=ContextCodec(MODEL),
        compressors=None,
    )


@pytest.mark.parametrize("dtype", ["int32", "float32", "bool"])
def test_arrays_of_another_type_are_refused(dtype):
    with pytest.raises(InvalidInput, match=dtype):
        small_array(dtype)


def test_damaged_chunks_are_refused():
    array = small_array()
    array[...] = 1
    chunk = array.store._store_dict["c/0/0"].to_bytes()
    array.store._store_dict["c/0/0"] = zarr.core.buffer.cpu.Buffer.from_bytes(chunk[:-1])
    with pytest.raises(CorruptStore, match="a chunk coded by contexts is damaged"):
        array[...]


@pytest.mark.parametrize("configuration", [{}, {"model": ""}, {"model": 1}])
def test_damaged_models_are_refused(configuration):
    with pytest.raises(InvalidInput):
        ContextCodec.from_dict({"name": CONTEXT_CODEC, "configuration": configuration})
