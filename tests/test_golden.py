"""The golden codec and stores of format 1: every version reads them, and writes them alike."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

import engine
from engine.store.contents import StoreContents

GOLDEN = Path(__file__).parent / "golden"
STEP = 0.5
COMPRESSED = ("size_bytes_", "sha256_", "index_crc32c_", "chunk_crc32c_", "crc32c")


@pytest.fixture(scope="module")
def expected():
    """Arrays of what the store was made from, and of what it must give."""
    with np.load(GOLDEN / "expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def store():
    with engine.open(GOLDEN / "format-1.zarr", device="cpu") as opened:
        yield opened


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        np.int64(17),
        slice(None),
        slice(5, 30, 7),
        slice(None, None, -1),
        [36, 0, 15, 16, 0],
        np.arange(37) % 3 == 1,
        [],
        (slice(10, 12), 3),
        ...,
    ],
    ids=lambda key: "mask" if isinstance(key, np.ndarray) else str(key),
)
def test_samples(store, expected, key):
    decoded = store[key]
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, expected["decoded"][key])


def test_the_whole_store_is_an_array(store, expected):
    assert (store.shape, store.dtype, len(store)) == ((37, 6, 5), np.uint8, 37)
    assert store.step == STEP
    np.testing.assert_array_equal(np.asarray(store), expected["decoded"])
    np.testing.assert_array_equal(np.stack(list(store)), expected["decoded"])


def test_latents(store, expected):
    np.testing.assert_array_equal(store.latents[:], expected["latents"])
    latent = store.codec.manifest.latent
    floats = latent.dequantise(expected["latents"], STEP)
    np.testing.assert_array_equal(store.read_latents([36, 3]), floats[[36, 3]])


def test_quality(store, expected):
    for name in ("max_abs_error", "mse"):
        np.testing.assert_array_equal(store.quality[name], expected[f"quality_{name}"])
    error = np.abs(expected["decoded"].astype(float) - expected["original"])
    assert (store.quality["max_abs_error"] >= error.max(axis=(1, 2))).all()
    assert (store.quality["mse"] >= (error**2).mean(axis=(1, 2))).all()


def test_sidecars(store, expected):
    assert store.sidecars.keys() == {"labels", "names"}
    for name, values in store.sidecars.items():
        np.testing.assert_array_equal(values, expected[f"sidecar_{name}"], strict=True)


def test_it_verifies(expected):
    result = engine.verify(GOLDEN / "format-1.zarr", against=expected["original"], device="cpu")
    assert result.problems == ()
    assert result.samples_compared == 37


def test_latents_coded_by_rans():
    with np.load(GOLDEN / "expected-rans.npz") as arrays:
        expected = dict(arrays)
    with engine.open(GOLDEN / "format-1-rans.zarr", device="cpu") as store:
        coded = store.contents.arrays["latents"].coded.coding
        assert (coded.coder, len(coded.tables.tables)) == ("rans", 4)
        np.testing.assert_array_equal(store.latents[:], expected["latents"])
        np.testing.assert_array_equal(store[:], expected["decoded"])
        np.testing.assert_array_equal(store[[499, 3, 191, 192]], store[:][[499, 3, 191, 192]])
    assert engine.verify(GOLDEN / "format-1-rans.zarr", device="cpu").ok


def test_the_codec_encodes_and_decodes_alike(store, expected):
    codec = engine.Codec.load(GOLDEN / "format-1.codec", "cpu")
    assert codec.digest == store.codec.digest
    latents = codec.encode(expected["original"], STEP)
    np.testing.assert_array_equal(latents, expected["latents"], strict=True)
    np.testing.assert_array_equal(codec.decode(latents, STEP), expected["decoded"], strict=True)


def test_made_today_it_holds_the_same(tmp_path):
    script = str(GOLDEN / "make_golden.py")
    subprocess.run([sys.executable, script, str(tmp_path)], check=True)
    for store in ("format-1.zarr", "format-1-rans.zarr"):
        made, golden = (_contents(folder / store) for folder in (tmp_path, GOLDEN))
        assert made.keys() == golden.keys()
        for name in golden:
            assert made[name] == golden[name], name
    for arrays in ("expected.npz", "expected-rans.npz"):
        with np.load(tmp_path / arrays) as remade, np.load(GOLDEN / arrays) as kept:
            assert {name: remade[name].tolist() for name in remade} == {
                name: kept[name].tolist() for name in kept
            }


def _contents(path):
    """What a store says, without what depends on the versions of zstd and zarr."""
    root = zarr.open_group(path, mode="r")
    head = dict(root.attrs["latent_store"])
    del head["objects"], head["sha256"]
    contents = {"head": head}
    for name, node in root.members(max_depth=None):
        is_array = isinstance(node, zarr.Array)
        contents[name] = dict(node.attrs), is_array and (str(node.dtype), node.chunks, node.shards)
        if is_array and not name.endswith("/ledger"):
            contents[f"{name}/values"] = node[:].tolist()
    ledger = StoreContents(path).ledger
    kept = [field for field in ledger.dtype.names if not field.startswith(COMPRESSED)]
    return contents | {field: ledger[field].tolist() for field in kept}
