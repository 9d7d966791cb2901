"""Store folders whose objects are links, pipes or other folders: read nor written outside."""

import os
import pickle
import shutil

import numpy as np
import pytest

import engine
from engine.errors import CorruptStore, EngineError, IncompleteStore, InvalidInput
from engine.store.contents import StoreContents
from tests.attacks.forged_store import PART, ForgedStore
from tests.attacks.make_attacks import GOOD_STORE, HERE
from tests.attacks.read_store import outcomes
from tests.laws import assert_same_tree, tree

LATENTS = f"{PART}/latents"
OBJECTS = ["zarr.json", "data/zarr.json", f"{LATENTS}/c/0/0", f"{PART}/sidecars/text/c/0/0"]
OBJECTS += [f"{PART}/ledger/c/0"]


@pytest.fixture
def store(plant_store, tmp_path):
    return plant_store(tmp_path / "a.zarr", {})


def refused(store):
    """Every error is one line; there is one."""
    messages = [message for _, message in outcomes(store)]
    assert messages
    assert [m for m in messages if len(m.splitlines()) != 1 or len(m) > 1000] == []
    return messages


@pytest.mark.parametrize("key", OBJECTS)
@pytest.mark.parametrize("relative", [True, False])
def test_an_object_that_is_a_link_out_is_not_read(store, key, relative):
    outside = store.parent / "outside"
    (store / key).rename(outside)
    target = os.path.relpath(outside, (store / key).parent) if relative else outside
    (store / key).symlink_to(target)
    assert "a link that leads out of the store" in refused(store)[0]


@pytest.mark.parametrize("folder", ["data", LATENTS, f"{LATENTS}/c", "codecs"])
def test_a_folder_that_is_a_link_out_is_not_read(store, folder):
    outside = store.parent / "outside"
    (store / folder).rename(outside)
    (store / folder).symlink_to(outside)
    assert any("a link that leads out of the store" in m for m in refused(store))


@pytest.mark.parametrize("key", OBJECTS)
def test_a_link_to_itself_is_missing(store, key):
    (store / key).unlink()
    (store / key).symlink_to((store / key).name)
    refused(store)


@pytest.mark.parametrize("key", OBJECTS)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_read(store, key, make):
    (store / key).unlink()
    make(store / key)
    assert "not a regular file" in refused(store)[0]


@pytest.mark.parametrize("key", OBJECTS)
def test_devices_are_not_read(store, key):
    (store / key).unlink()
    (store / key).symlink_to("/dev/zero")
    assert "a link that leads out of the store" in refused(store)[0]


@pytest.mark.parametrize("key", OBJECTS)
def test_an_object_of_a_terabyte_is_not_read_whole(store, key):
    os.truncate(store / key, 1 << 40)
    refused(store)


def test_links_within_a_store_are_fine(store):
    key = store / LATENTS / "c/0/0"
    key.rename(store / "elsewhere")
    key.symlink_to(store / "elsewhere")
    assert np.array_equal(
        engine.open(store, "cpu").read_latents(), engine.open(HERE / GOOD_STORE).read_latents()
    )


def test_a_head_of_a_million_objects_takes_no_more_than_was_allowed(store):
    entry = ',"data/%d":[1,"' + "0" * 64 + '"]'
    entries = "".join(entry % number for number in range(1_000_000))
    head = (store / "zarr.json").read_text()
    (store / "zarr.json").write_text(head.replace('"objects":{', '"objects":{' + entries[1:] + ","))
    assert all("bytes of memory, at most" in message for message in refused(store))


def test_a_claim_of_many_shards_is_not_tried_one_by_one(store):
    """A store that is being written has no ledger that must hold them all."""
    forged = ForgedStore(store)
    samples = 8 * 10**6
    forged.head |= {"state": "writing", "generation": 0}
    forged.head["variables"]["data"][0]["samples"] = samples
    for name in forged.arrays:
        forged.document(
            f"{PART}/{name}/zarr.json",
            lambda d: d.update(shape=[samples, *d["shape"][1:]]),
        )
    shape = [samples, 4, 6]
    forged.document("data/zarr.json", lambda d: d["attributes"].update(array_shape=shape))
    for key, content in forged.changed.items():
        (store / key).write_bytes(content)
    contents = StoreContents(store, incomplete=True)
    assert contents.committed.shape == (10**6,)
    assert not contents.committed.any()
    with pytest.raises(IncompleteStore):
        engine.open(store, "cpu", incomplete=True)[:]


def job(store):
    """The job that made the good store."""
    from tests.kept_stores import CHUNK_SAMPLES, SHARD_SAMPLES, mixed, sidecars

    sizes = {"chunk_samples": CHUNK_SAMPLES, "shard_samples": SHARD_SAMPLES}
    codec = engine.Codec(StoreContents(HERE / GOOD_STORE).codec_files, "cpu")
    return {
        "data": mixed(), "store": store, "codec": codec, "device": "cpu",
        "max_error": 0.01, "sidecars": sidecars(), **sizes,
    }  # fmt: skip


def begun(store):
    """The good store as it was before any shard of it was committed, and its head sealed."""
    engine.compress(**job(store))
    forged = ForgedStore(store)
    forged.head |= {"state": "writing", "generation": 0}
    (store / "zarr.json").write_bytes(forged.root())


FOLDERS = ["data", f"{LATENTS}/c", f"{PART}/commits"]


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("state", ["sealed", "writing"])
def test_a_job_neither_writes_nor_removes_outside(store, folder, state):
    shutil.rmtree(store)
    begun(store)
    if state == "sealed":
        shutil.rmtree(store)
        engine.compress(**job(store))
    outside = store.parent / "outside"
    (store / folder).mkdir(parents=True, exist_ok=True)
    shutil.copytree(store / folder, outside)
    (outside / "c").mkdir(exist_ok=True)
    (outside / "c" / "9.partial").write_bytes(b"precious")
    shutil.rmtree(store / folder)
    (store / folder).symlink_to(outside)
    before = tree(outside)
    for overwrite in (False, True):
        try:
            engine.compress(**job(store), overwrite=overwrite)
        except EngineError as error:
            assert len(str(error).splitlines()) == 1
        assert tree(outside) == before
    assert_same_tree(store, fresh(store.parent / "fresh.zarr"))


@pytest.mark.parametrize("folder", [*FOLDERS, "codecs", "data/part-0", LATENTS])
def test_a_repair_neither_writes_nor_removes_outside(store, folder):
    outside = store.parent / "outside"
    (store / folder).mkdir(parents=True, exist_ok=True)
    shutil.move(store / folder, outside)
    (outside / "9.partial").write_bytes(b"precious")
    for path in outside.rglob("c/0*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    (store / folder).symlink_to(outside)
    before = tree(outside)
    arguments = job(store)
    try:
        engine.repair(
            store, arguments["data"], codec=arguments["codec"], sidecars=arguments["sidecars"],
            device="cpu",
        )  # fmt: skip
    except EngineError as error:
        assert len(str(error).splitlines()) == 1
    assert tree(outside) == before


def fresh(path):
    engine.compress(**job(path))
    return path


def test_more_samples_than_fit_are_refused_in_words(store):
    opened = engine.open(store, "cpu")
    with pytest.raises(InvalidInput, match="read fewer at a time"):
        opened.reader.unfilled(1 << 60)


def test_what_zarr_reads_is_checked_too(store):
    latents = pickle.loads(pickle.dumps(engine.open(store, "cpu").latents))  # noqa: S301
    assert np.array_equal(latents[:], engine.open(HERE / GOOD_STORE).latents[:])
    shutil.copy(store / LATENTS / "c/0/0", store / LATENTS / "c/1/0")
    with pytest.raises(CorruptStore, match="c/1/0 is not the one that the ledger recorded"):
        latents[8:16]
    (store / LATENTS / "c/1/0").unlink()
    with pytest.raises(CorruptStore, match="c/1/0 is missing"):
        engine.open(store, "cpu").latents[:]
