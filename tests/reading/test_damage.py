"""Damaged stores: what is damaged is an error that names it, and all else reads as ever."""

import numpy as np
import pytest

import engine
from engine.errors import CorruptStore, EngineError

from ..kept_stores import SHARD_SAMPLES, SHARDS, object_names, shard_names, shard_of
from ..laws import flip_bit, same_values

# What no sample is made of.
BESIDES = ("quality", "sidecars")


@pytest.fixture
def copy(kept, tmp_path):
    """A copy of a store to damage."""
    return kept.copy(tmp_path / "copy.zarr")


@pytest.fixture
def whole(kept):
    """All samples of the store."""
    with engine.open(kept.path, device="cpu") as store:
        return store[:]


def rows_of(shard):
    return np.arange(len(range(22)))[shard * SHARD_SAMPLES : (shard + 1) * SHARD_SAMPLES]


def damages(content):
    """Damaged versions of an object: flipped bits, cut short, emptied, longer, gone."""
    for position in (0, len(content) // 2, len(content) - 1, len(content) - 20):
        flipped = bytearray(content)
        flipped[position] ^= 16
        yield bytes(flipped)
    yield from (content[:-1], content[len(content) // 2 :], content[:1], b"", content + b"\0", None)


def put(path, content):
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)


def needed(kept, copy):
    """Objects of shards that samples are made of."""
    without = kept.options.keys() & {"max_error", "lossless", "min_psnr"}
    modes = engine.open(copy, device="cpu").contents.ledger["mode"]
    for name in shard_names(copy):
        unread = "latents" in name and without and modes[shard_of(name)] > 2
        if not unread and not any(part in name for part in BESIDES):
            yield name


def test_samples_of_a_damaged_shard_are_an_error_and_others_read_as_ever(kept, copy, whole):
    for name in needed(kept, copy):
        content, shard = (copy / name).read_bytes(), shard_of(name)
        others = np.concatenate([rows_of(other) for other in range(SHARDS) if other != shard])
        for damaged in damages(content):
            put(copy / name, damaged)
            store = engine.open(copy, device="cpu")
            with pytest.raises(CorruptStore, match=name):
                store[rows_of(shard)]
            assert same_values(store[others], whole[others])
        put(copy / name, content)


def test_one_row_at_a_time_the_damaged_chunk_is_an_error(kept, copy, whole):
    """A flipped bit of a chunk: rows of it are errors, rows of the other chunk may be read."""
    for name in needed(kept, copy):
        flip_bit(copy / name, 8 * 5)
        store, refused = engine.open(copy, device="cpu"), []
        for row in range(len(whole)):
            try:
                assert same_values(store[row], whole[row])
            except CorruptStore as error:
                assert name in str(error)
                refused.append(row)
        assert set(refused) == set(rows_of(shard_of(name))[:4])
        flip_bit(copy / name, 8 * 5)


def test_swapped_and_replayed_shards_are_never_read_as_data(kept, copy, whole, tmp_path):
    kept.compress(tmp_path / "other.zarr", data=kept.data[::-1])
    for name in needed(kept, copy):
        content = (copy / name).read_bytes()
        for foreign in [copy / name.replace("/c/1/", "/c/0/"), tmp_path / "other.zarr" / name]:
            if not foreign.exists() or foreign.read_bytes() == content:
                continue
            put(copy / name, foreign.read_bytes())
            with pytest.raises(CorruptStore, match=name):
                engine.open(copy, device="cpu")[rows_of(shard_of(name))]
            put(copy / name, content)


def test_quality_and_sidecars_are_errors_too(kept, copy, whole):
    for name in shard_names(copy):
        if any(part in name for part in BESIDES):
            content = (copy / name).read_bytes()
            for damaged in damages(content):
                put(copy / name, damaged)
                store = engine.open(copy, device="cpu")
                with pytest.raises(CorruptStore, match=name):
                    store.quality if "quality" in name else store.sidecars  # noqa: B018
                assert same_values(store[:], whole)
            put(copy / name, content)


def test_all_other_objects_are_named_or_not_needed(kept, copy, whole):
    for name in object_names(copy):
        if shard_of(name) is not None:
            continue
        content = (copy / name).read_bytes()
        for damaged in damages(content):
            put(copy / name, damaged)
            try:
                found = engine.open(copy, device="cpu")[:]
            except EngineError as error:
                assert "zarr.json" in str(error) or name in str(error)
                assert "\n" not in str(error)
            else:
                assert same_values(found, whole)
        put(copy / name, content)


@pytest.mark.parametrize("kind", ["max error", "lossless"])
@pytest.mark.parametrize(
    "name", ["ledger/c/0", "ledger/zarr.json", "latents/zarr.json", "patches/zarr.json"]
)
def test_what_says_how_to_read_it_is_named(name, kind, kept_store, tmp_path):
    copy = kept_store(kind).copy(tmp_path / "copy.zarr")
    flip_bit(copy / "data/part-0" / name, 99)
    with pytest.raises(CorruptStore, match=f"data/part-0/{name} is damaged"):
        engine.open(copy, device="cpu")[0]
