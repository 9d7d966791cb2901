"""Decoding into a file: the samples that were asked for, whole or not at all."""

import contextlib
import shutil
import tracemalloc

import numpy as np
import pytest
import zarr

import engine
from engine.errors import CorruptStore, InvalidInput, StorageError
from engine.reading.decode import parse_rows
from engine.runtime.device import available_cores

from ..laws import flip_bit, same_values, tree


@pytest.mark.parametrize(
    "rows",
    [
        ":", "5:60:7", "-3:", "::-1", "190:999", "7", "-1", "9:3",
        slice(2, 5), [4, 4, 199, 0], np.arange(200) % 60 == 1, [], 11,
    ],
    ids=lambda rows: "mask" if isinstance(rows, np.ndarray) else str(rows),
)  # fmt: skip
def test_the_rows_that_were_asked_for(rows, store_path, store, tmp_path):
    seen = []
    shape = engine.decode(
        store_path, tmp_path / "x.npy", rows=rows, progress=lambda *n: seen.append(n), device="cpu"
    )
    expected = store.read(parse_rows(rows) if isinstance(rows, str) else rows)
    found = np.load(tmp_path / "x.npy")
    assert shape == expected.shape
    assert same_values(found, expected)
    assert seen == [] if len(found) == 0 else seen[-1] == (len(found), len(found))
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_a_zarr_array_and_an_open_store(store, tmp_path):
    engine.decode(store, tmp_path / "x.zarr", rows="10:90")
    assert same_values(zarr.open_array(tmp_path / "x.zarr", mode="r")[:], store[10:90])


@pytest.mark.parametrize(
    "rows", ["200", "-201", "a", "", "1:2:3:4", "1:2:0", "1.5", [200], [1.5], "1,2", slice(0.5)]
)
def test_rows_that_are_not_there(rows, store, tmp_path):
    with pytest.raises(InvalidInput):
        engine.decode(store, tmp_path / "x.npy", rows=rows)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_only_when_told(store, tmp_path):
    for name in ("x.npy", "x.zarr"):
        engine.decode(store, tmp_path / name, rows=":3")
        before = tree(tmp_path)
        with pytest.raises(InvalidInput, match="--overwrite"):
            engine.decode(store, tmp_path / name)
        assert tree(tmp_path) == before
        engine.decode(store, tmp_path / name, overwrite=True)
    assert same_values(np.load(tmp_path / "x.npy"), store[:])
    assert same_values(zarr.open_array(tmp_path / "x.zarr", mode="r")[:], store[:])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "x.zarr"]


def test_a_store_is_never_replaced(store_path, tmp_path):
    copy = shutil.copytree(store_path, tmp_path / "x.zarr")
    before = tree(copy)
    with pytest.raises(InvalidInput):
        engine.decode(copy, copy, overwrite=True)
    assert tree(copy) == before


def test_paths_that_can_not_be_written(store, tmp_path):
    with pytest.raises(InvalidInput, match="must end in"):
        engine.decode(store, tmp_path / "x.csv")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"x\.npy: can't write it"):
        engine.decode(store, tmp_path / "file/x.npy")
    with pytest.raises(InvalidInput, match="no such store"):
        engine.decode(tmp_path / "none.zarr", tmp_path / "x.npy")


def test_a_damaged_store_leaves_nothing(store_path, tmp_path):
    copy = shutil.copytree(store_path, tmp_path / "damaged.zarr")
    flip_bit(copy / "data/part-0/latents/c/4/0", 99)
    with pytest.raises(CorruptStore, match="latents/c/4/0"):
        engine.decode(copy, tmp_path / "x.npy", device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.zarr"]


def test_blocks_are_decoded_into_few_buffers(store):
    store.reader.block_samples = 8
    places = set()
    with contextlib.closing(store.reader.in_blocks(range(len(store)))) as blocks:
        for row, block in enumerate(blocks):
            places.add(block.ctypes.data)
            assert same_values(block, store[8 * row : 8 * row + 8])
    assert row == 24
    assert len(places) <= available_cores() + 2


def test_memory_does_not_grow_with_the_rows(store, tmp_path):
    store.reader.block_samples = 8
    peaks = []
    for rows in (":40", ":", ":"):
        tracemalloc.start()
        engine.decode(store, tmp_path / "x.npy", rows=rows, overwrite=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[0] + 16 * 1024  # all samples take 157 kB


def test_the_first_error_in_order_is_raised(store_path, tmp_path):
    copy = shutil.copytree(store_path, tmp_path / "damaged.zarr")
    for shard in (1, 2, 4):
        flip_bit(copy / f"data/part-0/latents/c/{shard}/0", 99)
    for rows in (":", [130, 33, 3, 66]):
        with engine.open(copy, device="cpu") as store:
            store.reader.block_samples = 8
            with pytest.raises(CorruptStore, match="latents/c/1/0"):
                store.read(slice(None) if rows == ":" else rows)
            with pytest.raises(CorruptStore, match="latents/c/1/0"):
                engine.decode(store, tmp_path / "x.npy", rows=rows)


def test_an_interruption_stops_it_at_once(store, tmp_path):
    store.reader.block_samples = 8
    seen = []

    def stop(done, total):
        seen.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.decode(store, tmp_path / "x.npy", progress=stop)
    assert seen == [8]
    assert list(tmp_path.iterdir()) == []
    assert store[3].shape == (28, 28)
