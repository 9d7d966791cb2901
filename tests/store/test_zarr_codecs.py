"""zarr-python finds our coders by their entry points, and reads and writes by them."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import CorruptStore, InvalidInput
from engine.geometry import RowGrid
from engine.store.arrays import METADATA, ShardedArray
from engine.store.coding import CONTEXT, RANS, Coded, Coding
from engine.store.context_model import CONTEXT_CODEC, DTYPES, ContextModel, Leaf
from engine.store.prediction import Prediction
from engine.store.rans_tables import RANS_CODEC, RansTable, RansTables
from engine.store.zarr_context import ContextCodec
from engine.store.zarr_rans import RansCodec

from ..laws import same_values
from .test_context_model import context_models
from .test_rans_tables import rans_tables
from .test_shard import as_stored, random_values, read_ours, write_ours

TABLE = RansTable(0, -1, (1000, 2000, 1000))
TABLES = RansTables((TABLE,))
MODEL = ContextModel(((1,),), (), (Leaf(0, TABLE),))


@st.composite
def context_codings(draw, dtype, axes):
    return Coding(CONTEXT, model=draw(context_models(axes)))


@st.composite
def rans_codings(draw, dtype, axes):
    return Coding(RANS, tables=draw(rans_tables(dtype)))


@dataclass(frozen=True)
class Kind:
    """A coder: its codec, codings to draw, the least axes of an item, and a small one of it."""

    codec: Any
    name: str
    codings: Any
    dtypes: tuple[np.dtype, ...]
    least_axes: int
    small: Coding
    refused: tuple[str, ...]
    damaged: tuple[dict[str, Any], ...]

    @property
    def small_codec(self):
        return self.codec(self.small.tables or self.small.model)


KINDS = {
    "contexts": Kind(
        ContextCodec,
        CONTEXT_CODEC,
        context_codings,
        tuple(DTYPES),
        1,
        Coding(CONTEXT, model=MODEL),
        ("int32", "float32", "bool"),
        ({}, {"model": ""}, {"model": 1}),
    ),
    "rANS": Kind(
        RansCodec,
        RANS_CODEC,
        rans_codings,
        (np.dtype(np.int8), np.dtype(np.int16)),
        0,
        Coding(RANS, tables=TABLES),
        ("uint8", "int32", "float32"),
        ({}, {"states": 4, "tables": ""}, {"states": 4, "tables": 1}, {"tables": "AAABAQ=="}),
    ),
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@st.composite
def coded_arrays(draw, kind):
    dtype = draw(st.sampled_from(kind.dtypes))
    item_shape = tuple(draw(st.lists(st.integers(1, 4), min_size=kind.least_axes, max_size=3)))
    coding = draw(kind.codings(dtype, len(item_shape)))
    chunk_samples = draw(st.integers(1, 5))
    grid = RowGrid(draw(st.integers(1, 30)), chunk_samples, chunk_samples * draw(st.integers(1, 4)))
    prediction = draw(st.sampled_from([Prediction(), Prediction((0,))]))
    return ShardedArray("values", grid, item_shape, dtype, 0, coded=Coded(prediction, coding))


@each_kind
@settings(max_examples=20, deadline=None)
@given(data=st.data(), seed=st.integers(0, 99))
def test_zarr_reads_what_we_write(kind, data, seed, tmp_path_factory):
    array = data.draw(coded_arrays(kind))
    values = random_values(array, seed)
    folder = write_ours(tmp_path_factory.mktemp("ours"), array, values)
    stored, found = as_stored(array, values), zarr.open_array(folder, mode="r")
    assert same_values(found[...], stored)
    assert same_values(found[len(stored) // 2 :], stored[len(stored) // 2 :])
    assert same_values(read_ours(folder.parent, array), values)


@each_kind
@settings(max_examples=20, deadline=None)
@given(data=st.data(), seed=st.integers(0, 99))
def test_we_read_what_zarr_writes(kind, data, seed, tmp_path_factory):
    array = data.draw(coded_arrays(kind))
    folder = tmp_path_factory.mktemp("zarr")
    (folder / array.name).mkdir()
    (folder / array.name / METADATA).write_bytes(array.metadata())
    values = random_values(array, seed)
    zarr.open_array(folder / array.name, mode="r+")[...] = as_stored(array, values)
    assert same_values(read_ours(folder, array), values)


@each_kind
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_metadata_name_the_coding(kind, data):
    array = data.draw(coded_arrays(kind))
    assert ShardedArray.from_metadata("values", json.loads(array.metadata())) == array


@each_kind
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_an_array_of_zarr_without_shards(kind, data):
    """After `transpose` too, which zarr-python gets wrong with codecs of numcodecs."""
    coding = data.draw(kind.codings(np.dtype(np.int16), 2))
    ours = kind.codec(coding.tables or coding.model)
    values = np.random.default_rng(3).integers(-9, 9, (10, 6, 5)).astype(np.int16)
    for filters in ([], [zarr.codecs.TransposeCodec(order=(1, 2, 0))]):
        array = zarr.create_array(
            zarr.storage.MemoryStore(),
            shape=values.shape,
            chunks=(4, 6, 5),
            dtype="int16",
            filters=filters,
            serializer=ours,
            compressors=[zarr.codecs.Crc32cCodec()],
        )
        array[...] = values
        assert same_values(array[...], values)
        assert same_values(array[3:9:2, 1], values[3:9:2, 1])
        (codec,) = [c for c in array.metadata.to_dict()["codecs"] if c["name"] == kind.name]
        assert kind.codec.from_dict(codec) == ours


@each_kind
def test_a_fresh_process_reads_it_without_importing_the_engine(kind, tmp_path):
    coded = Coded(coding=kind.small)
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


def small_array(kind, dtype="int8"):
    return zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=(4, 2),
        chunks=(4, 2),
        dtype=dtype,
        serializer=kind.small_codec,
        compressors=None,
    )


@each_kind
def test_arrays_of_another_type_are_refused(kind):
    for dtype in kind.refused:
        with pytest.raises(InvalidInput, match=dtype):
            small_array(kind, dtype)


@pytest.mark.parametrize("coded_by", KINDS)
def test_damaged_chunks_are_refused(coded_by):
    array = small_array(KINDS[coded_by])
    array[...] = 1
    chunk = array.store._store_dict["c/0/0"].to_bytes()
    array.store._store_dict["c/0/0"] = zarr.core.buffer.cpu.Buffer.from_bytes(chunk[:-1])
    with pytest.raises(CorruptStore, match=f"a chunk coded by {coded_by} is damaged"):
        array[...]


@each_kind
def test_damaged_configurations_are_refused(kind):
    for configuration in kind.damaged:
        with pytest.raises(InvalidInput):
            kind.codec.from_dict({"name": kind.name, "configuration": configuration})
