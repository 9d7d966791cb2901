"""The writer: what counts as written, and what a second attempt makes of a first one."""

import dataclasses

import numpy as np
import pytest

from engine.errors import IncompatibleStore, IncompleteStore, StorageError
from engine.geometry import RowGrid
from engine.store.contents import StoreContents
from engine.store.ledger import Mode
from engine.store.objects import LocalObjects
from engine.store.plan import LATENTS, PART, QUALITY, StorePlan
from engine.store.writer import COMMITS, StoreWriter, any_commit, discard

from ..laws import assert_same_tree, flip_bit, tree, truncate

GRID = RowGrid(samples=10, chunk_samples=2, shard_samples=4)


@pytest.fixture(scope="module")
def plan(make_codec):
    codec = make_codec(np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32), 3)
    return StorePlan(
        grid=GRID,
        codec=codec.files,
        step=1.0,
        quality_unit=1.0,
        sidecars={},
        keep_encoder=False,
        source={"data": {"shape": [10, 6]}, "sidecars": {}},
    )


@pytest.fixture
def objects(tmp_path):
    objects = LocalObjects(tmp_path / "store")
    objects.make_folder()
    return objects


def commit(writer, *shards):
    for shard in shards:
        size = GRID.shard_size(shard)
        rows = {
            LATENTS: np.full((size, 3), shard, np.int8),
            QUALITY: np.full((size, 2), 200, np.uint8),
        }
        made = {name: writer.plan.array(name).encode_shard(values) for name, values in rows.items()}
        writer.commit(shard, made, {"mode": Mode.LATENTS, "worst_mse": float(shard)})


def write_all(objects, plan):
    writer = StoreWriter.create(objects, plan)
    commit(writer, 0, 1, 2)
    writer.seal()
    return writer


def test_a_sealed_store_has_every_object_listed(objects, plan):
    assert write_all(objects, plan).is_sealed
    contents = StoreContents(objects.folder)
    listed = contents.head.objects.keys() | contents.expected_shard_objects() | {"zarr.json"}
    assert set(objects.keys()) == listed
    assert contents.ledger["worst_mse"].tolist() == [0, 1, 2]
    assert contents.read_array(LATENTS)[:, 0].tolist() == [0] * 4 + [1] * 4 + [2] * 2


def test_committed_shards_are_kept_in_any_order(objects, plan, tmp_path):
    writer = StoreWriter.create(objects, plan)
    assert not any_commit(objects)
    commit(writer, 2, 0)
    assert any_commit(objects)
    resumed = StoreWriter.resume(objects, plan)
    assert sorted(resumed.committed()) == [0, 2]
    commit(resumed, 1)
    resumed.seal()
    other = LocalObjects(tmp_path / "other")
    other.make_folder()
    write_all(other, plan)
    assert_same_tree(objects.folder, other.folder)


def test_an_unfinished_store_is_not_sealed(objects, plan):
    writer = StoreWriter.create(objects, plan)
    commit(writer, 0, 2)
    with pytest.raises(IncompleteStore, match="2 of 3 shards are whole"):
        writer.seal()
    assert not StoreWriter.resume(objects, plan).is_sealed


def damage_record(objects):
    flip_bit(objects.folder / f"{COMMITS}/c/1", 100)


def cut_record(objects):
    truncate(objects.folder / f"{COMMITS}/c/1", 9)


def move_record(objects):
    objects.put(f"{COMMITS}/c/1", objects.get(f"{COMMITS}/c/0"))


def lose_latents(objects):
    objects.remove(f"{PART}/latents/c/1/0")


def cut_quality(objects):
    truncate(objects.folder / f"{PART}/quality/c/1/0", 9)


@pytest.mark.parametrize(
    "harm", [damage_record, cut_record, move_record, lose_latents, cut_quality]
)
def test_a_shard_that_is_not_whole_does_not_count(harm, objects, plan):
    commit(StoreWriter.create(objects, plan), 0, 1, 2)
    harm(objects)
    assert sorted(StoreWriter.resume(objects, plan).committed()) == [0, 2]


def test_a_resumed_store_lost_its_metadata(objects, plan):
    commit(StoreWriter.create(objects, plan), 0)
    objects.remove(f"{PART}/latents/zarr.json")
    resumed = StoreWriter.resume(objects, plan)
    assert resumed.committed() == {}
    commit(resumed, 0, 1, 2)
    resumed.seal()
    assert StoreContents(objects.folder).read_array(LATENTS).shape == (10, 3)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"step": 2.0}, "step"),
        ({"grid": RowGrid(10, 1, 4)}, "chunk_samples"),
        ({"grid": RowGrid(10, 2, 2)}, "shard_samples"),
        ({"keep_encoder": True}, "keep_encoder"),
        ({"source": {"data": {"shape": [11, 6]}, "sidecars": {}}}, "data"),
        ({"source": {"data": {"shape": [10, 6]}, "sidecars": {"label": {}}}}, "sidecars"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_job_is_refused_and_nothing_touched(changes, named, objects, plan):
    commit(StoreWriter.create(objects, plan), 0)
    before = tree(objects.folder)
    with pytest.raises(IncompatibleStore, match=rf"\(different: {named}\).*--overwrite"):
        StoreWriter.resume(objects, dataclasses.replace(plan, **changes))
    assert tree(objects.folder) == before


def test_equal_plans_have_equal_store_ids(plan):
    assert plan.store_id == dataclasses.replace(plan).store_id
    assert plan.store_id != dataclasses.replace(plan, step=2.0).store_id


def test_create_takes_the_place_of_whatever_was_there(objects, plan, tmp_path):
    write_all(objects, plan)
    objects.put("stray/file", b"x")
    (objects.folder / "zarr.json.0123.partial").write_bytes(b"half")
    write_all(objects, plan)
    other = LocalObjects(tmp_path / "other")
    other.make_folder()
    write_all(other, plan)
    assert_same_tree(objects.folder, other.folder)


def test_discard_leaves_nothing(objects, plan):
    commit(StoreWriter.create(objects, plan), 0)
    (objects.folder / "zarr.json.0123.partial").write_bytes(b"half")
    discard(objects)
    assert not objects.folder.exists()
    discard(objects)


def test_a_store_without_its_encoder_says_so(objects, plan):
    write_all(objects, plan)
    assert StoreContents(objects.folder).codec_files.contents.keys() == {"decoder.onnx"}


def test_a_file_in_the_way_of_a_shard_is_one_clear_error(objects, plan):
    writer = StoreWriter.create(objects, plan)
    objects.put(f"{PART}/latents/c", b"in the way")
    with pytest.raises(StorageError, match="can't write data/part-0/latents/c/0/0"):
        commit(writer, 0)
