"""Every array of a store opens in zarr-python, tensorstore and zarrs, and we read what they write.

`test_shard.py` draws arrays for zarr-python and tensorstore; what is drawn here is for zarrs, the
Rust library, which runs as a codec pipeline of zarr-python that may not fall back on Python.
"""

import json

import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarrs import ZarrsCodecPipeline

import engine
from engine.store.arrays import METADATA
from engine.store.contents import StoreContents
from engine.store.plan import (
    LATENTS,
    PATCHED,
    PATCHES,
    QUALITY,
    QUANTISED,
    RESIDUALS,
    VERBATIM,
)  # fmt: skip
from engine.store.shard_index import ZARR_INDEX

from ..kept_stores import KINDS
from ..laws import same_values
from .test_shard import (
    ABSENT,
    as_stored,
    example_array,
    random_values,
    read_ours,
    sharded_arrays,
    write_ours,
)

ZARRS = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "codec_pipeline.strict": True}


def array_folders(store):
    documents = sorted(store.rglob(METADATA))
    return [
        path.parent for path in documents if json.loads(path.read_text())["node_type"] == "array"
    ]


def open_tensorstore(folder):
    kvstore = {"driver": "file", "path": str(folder)}
    return tensorstore.open({"driver": "zarr3", "kvstore": kvstore}).result()


def open_zarrs(folder, mode="r"):
    with zarr.config.set(ZARRS):
        array = zarr.open_array(folder, mode=mode)
    assert isinstance(array.async_array.codec_pipeline, ZarrsCodecPipeline)
    return array


READERS = {
    "zarr-python": lambda folder: zarr.open_array(folder, mode="r")[...],
    "tensorstore": lambda folder: open_tensorstore(folder).read().result(),
    "zarrs": lambda folder: open_zarrs(folder)[...],
}


def write_zarrs(folder, values):
    open_zarrs(folder, "r+")[...] = values


def write_tensorstore(folder, values):
    open_tensorstore(folder).write(values).result()


def write_zarr(folder, values):
    zarr.open_array(folder, mode="r+")[...] = values


WRITERS = {"zarr-python": write_zarr, "tensorstore": write_tensorstore, "zarrs": write_zarrs}

any_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)
any_writer = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


@pytest.mark.parametrize("library", ["tensorstore", "zarrs"])
def test_every_array_reads_as_in_zarr_python(library, small_store):
    folders = array_folders(small_store)
    assert len(folders) == 11  # three files of the codec, latents, quality, ledger, five sidecars
    for folder in folders:
        values = READERS["zarr-python"](folder)
        assert same_values(READERS[library](folder), values), folder


@pytest.fixture(scope="module")
def portable_stores(kept_store, tmp_path_factory):
    """A portable store of every guarantee and of every way to keep a shard."""
    folder = tmp_path_factory.mktemp("portable")
    for kind in KINDS:
        kept_store(kind).compress(folder / kind, portable=True)
    return [folder / kind for kind in KINDS]


def test_portable_stores_have_every_kind_of_array(portable_stores):
    found = {
        name
        for contents in map(StoreContents, portable_stores)
        for name in contents.arrays
        if contents.stored_bytes(name)
    }
    kept = {LATENTS, QUALITY, RESIDUALS, QUANTISED, VERBATIM, PATCHED, PATCHES}
    assert kept <= found


@any_reader
def test_every_library_reads_portable_stores(read, portable_stores):
    for store in portable_stores:
        contents = StoreContents(store)
        part = store / contents.part.path
        for name, array in contents.arrays.items():
            values = read_ours(part, array)  # fill values where a shard has none of it
            assert same_values(read(part / name), as_stored(array, values)), (store, name)


@any_reader
def test_a_shard_that_has_no_object_reads_as_fill_values(read, tmp_path):
    array = example_array(samples=11)  # three shards, the last of two chunks, one of them short
    values = random_values(array).copy()
    folder = write_ours(tmp_path, array, values)
    (tmp_path / array.key(1)).unlink()
    values[slice(*array.grid.shard_rows(1))] = array.fill_value
    assert same_values(read(folder), values)


@any_writer
def test_we_read_a_shard_in_which_another_writer_leaves_out_chunks(write, tmp_path):
    array = example_array(samples=11)
    values = random_values(array).copy()
    values[2:6] = array.fill_value  # the second half of a shard, the first half of the next
    (tmp_path / array.name).mkdir()
    (tmp_path / array.name / METADATA).write_bytes(array.metadata())
    write(tmp_path / array.name, values)
    content = (tmp_path / array.key(0)).read_bytes()
    index = ZARR_INDEX.decode(
        content[-ZARR_INDEX.size_bytes(array.grid.chunks_per_shard) :], "shard"
    )
    assert (index == ABSENT).all(axis=1).tolist() == [False, True]
    assert same_values(read_ours(tmp_path, array), values)


@settings(max_examples=40)
@given(array=sharded_arrays(), seed=st.integers(0, 99))
def test_zarrs_reads_what_we_write(array, seed, tmp_path_factory):
    values = random_values(array, seed)
    folder = write_ours(tmp_path_factory.mktemp("ours"), array, values)
    assert same_values(open_zarrs(folder)[...], as_stored(array, values))


@settings(max_examples=30)
@given(array=sharded_arrays(), seed=st.integers(0, 99))
def test_we_read_what_zarrs_writes(array, seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zarrs")
    (folder / array.name).mkdir()
    (folder / array.name / METADATA).write_bytes(array.metadata())
    values = random_values(array, seed)
    write_zarrs(folder / array.name, as_stored(array, values))
    assert same_values(read_ours(folder, array), values)


def test_the_store_is_a_tree_of_groups_that_zarr_walks(small_store):
    root = zarr.open_group(small_store, mode="r")
    with engine.open(small_store, device="cpu") as store:
        assert same_values(root["data/part-0/latents"][:], store.latents[:])
        assert same_values(root["data/part-0/sidecars/label"][:], store.sidecars["label"])
    assert sorted(root["data/part-0/sidecars"].array_keys()) == [
        "flag", "label", "place", "raw", "text"
    ]  # fmt: skip


def test_the_engine_reads_every_array_as_zarr_does(small_store):
    contents = StoreContents(small_store)
    for name in contents.arrays:
        assert same_values(contents.read_array(name), contents.zarr_array(name)[...]), name


def test_codec_files_are_arrays_of_their_bytes(small_store):
    contents = StoreContents(small_store)
    folder = small_store / "codecs" / contents.head.codec
    files = contents.codec_files
    names = {entry.name for entry in files.manifest.files} - {"probes.bin"}  # nothing is promised
    assert files.contents.keys() == names
    for name in names:
        found = zarr.open_array(folder / name, mode="r")[:]
        assert found.tobytes() == files.contents[name]


@pytest.mark.parametrize("bits", [8, 16])
def test_latents_never_hold_the_fill_value(bits, make_codec, tmp_path):
    data = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    codec = make_codec(data[:10], 6, bits)
    engine.compress(data * 9, tmp_path / "store.zarr", codec, shard_samples=16)
    latents = engine.open(tmp_path / "store.zarr").latents
    assert latents.fill_value == -(2 ** (bits - 1))
    assert np.abs(latents[:].astype(int)).max() == 2 ** (bits - 1) - 1  # and saturate
