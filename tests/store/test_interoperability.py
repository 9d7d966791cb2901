"""Every array of a store opens in plain zarr-python and in tensorstore, and they agree."""

import json

import numpy as np
import pytest
import tensorstore
import zarr

import engine
from engine.store.arrays import METADATA
from engine.store.contents import StoreContents

from ..laws import same_values


def array_folders(store):
    documents = sorted(store.rglob(METADATA))
    return [
        path.parent for path in documents if json.loads(path.read_text())["node_type"] == "array"
    ]


def open_tensorstore(folder):
    kvstore = {"driver": "file", "path": str(folder)}
    return tensorstore.open({"driver": "zarr3", "kvstore": kvstore}).result()


def test_tensorstore_gives_what_zarr_gives(small_store):
    folders = array_folders(small_store)
    assert len(folders) == 11  # three files of the codec, latents, quality, ledger, five sidecars
    for folder in folders:
        values = zarr.open_array(folder, mode="r")[...]
        assert same_values(open_tensorstore(folder).read().result(), values), folder


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
