"""Verification: an intact store is ok, and whatever is wrong with one is named."""

import shutil

import numpy as np
import pytest
import xxhash

import engine
from engine.errors import IncompleteStore, InvalidInput
from engine.geometry import RowGrid
from engine.jobs.fingerprint import identify
from engine.reading.verify import Verification
from engine.sources import open_source
from engine.store.contents import StoreContents
from engine.store.ledger import Mode
from engine.store.objects import LocalObjects
from engine.store.plan import LATENTS, QUALITY, StorePlan
from engine.store.writer import StoreWriter

from ..laws import flip_bit, truncate


@pytest.fixture
def copy(store_path, tmp_path):
    """A copy of the store to damage."""
    return shutil.copytree(store_path, tmp_path / "copy.zarr")


def names(store):
    """Every object but the head."""
    paths = sorted(path for path in store.rglob("*") if path.is_file())
    return [path.relative_to(store).as_posix() for path in paths if path.parent != store]


def test_an_intact_store(store_path, few):
    seen = []
    result = engine.verify(
        store_path, against=few, progress=lambda *n: seen.append(n), device="cpu"
    )
    assert result == Verification((), len(names(store_path)) + 1, 200)
    assert result.ok
    assert seen[-1] == (200, 200)


def flip(path):
    flip_bit(path, 8 * path.stat().st_size // 2 + 3)


def cut(path):
    truncate(path, path.stat().st_size // 2)


def lose(path):
    path.unlink()


@pytest.mark.parametrize(
    ("harm", "problem"), [(flip, "damaged"), (cut, "truncated"), (lose, "missing")]
)
def test_harm_to_any_one_object_names_it(harm, problem, copy):
    for name in names(copy):
        content = (copy / name).read_bytes()
        harm(copy / name)
        result = engine.verify(copy, device="cpu")
        (copy / name).write_bytes(content)
        assert result.problems[0].startswith(f"{name}: {problem}"), result.problems
        assert all(name in line for line in result.problems)
    assert engine.verify(copy, device="cpu").ok


def test_all_harm_is_named_at_once(copy):
    needed = ("ledger", "part-0/latents/zarr.json", "part-0/quality/zarr.json", "sidecars/")
    harmed = [name for name in names(copy) if not any(part in name for part in needed)]
    for name in harmed:
        flip(copy / name)
    problems = engine.verify(copy, device="cpu").problems
    assert sorted(line.split(": ")[0] for line in problems) == harmed


def test_the_ledger_is_lost_and_the_rest_still_checked(copy):
    flip(copy / "data/part-0/ledger/c/0")
    flip(copy / "data/zarr.json")
    flip(copy / "data/part-0/latents/c/2/0")
    found = engine.verify(copy, device="cpu").problems
    assert [line.split(": ")[0] for line in found] == [
        "data/part-0/latents/c/2/0", "data/part-0/ledger/c/0", "data/zarr.json"
    ]  # fmt: skip


@pytest.mark.parametrize("array", ["latents", "quality", "sidecars/label"])
def test_swapped_shards_are_both_named(array, copy):
    folder = copy / f"data/part-0/{array}/c"
    (folder / "1").rename(folder / "x")
    (folder / "2").rename(folder / "1")
    (folder / "x").rename(folder / "2")
    found = {line.split(":")[0] for line in engine.verify(copy, device="cpu").problems}
    end = "" if array == "sidecars/label" else "/0"
    assert found == {f"data/part-0/{array}/c/{shard}{end}" for shard in (1, 2)}


def test_surplus_objects_are_named(copy):
    (copy / "data/part-0/latents/c/7").mkdir()
    (copy / "data/part-0/latents/c/7/0").write_bytes(b"x")
    (copy / "notes.txt").write_bytes(b"x")
    assert engine.verify(copy, device="cpu").problems == (
        "data/part-0/latents/c/7/0: surplus (the store doesn't list it)",
        "notes.txt: surplus (the store doesn't list it)",
    )


def test_a_damaged_head_is_one_problem(copy):
    head = copy / "zarr.json"
    head.write_text(head.read_text().replace('"portable":true', '"portable":false'))
    result = engine.verify(copy, device="cpu")
    assert len(result.problems) == 1
    assert "the head is damaged" in result.problems[0]


def test_one_changed_sample_names_its_shard(store_path, few):
    for row, shard in ((0, 0), (63, 1), (64, 2), (199, 6)):
        other = few.copy()
        other[row, 14, 14] ^= 1
        (problem,) = engine.verify(store_path, against=other, device="cpu").problems
        last = min(32 * shard + 31, 199)
        assert problem == (
            f"shard {shard} (samples {32 * shard} to {last}): "
            "the data differ from what was compressed"
        )


def test_other_data_are_a_problem(store_path, few):
    for other in (few[:199], few.astype(np.int16), few[:, :27]):
        (problem,) = engine.verify(store_path, against=other, device="cpu").problems
        assert problem.startswith("ndarray: holds ")
        assert problem.endswith("the store uint8 (200, 28, 28)")


def test_damage_is_found_while_comparing_too(copy, few):
    flip(copy / "data/part-0/latents/c/3/0")
    flip(copy / "data/part-0/quality/c/5/0")
    result = engine.verify(copy, against=few, device="cpu")
    assert [line.split(":")[0] for line in result.problems] == [
        "data/part-0/latents/c/3/0",
        "data/part-0/quality/c/5/0",
        "shard 3 (samples 96 to 127)",
        "shard 5 (samples 160 to 191)",
    ]


@pytest.mark.parametrize("name", ["data/zarr.json", "decoder.onnx/c/0", "manifest.json/zarr.json"])
def test_what_can_not_be_compared_is_said_once(name, copy, few):
    (path,) = (copy / found for found in names(copy) if found.endswith(name))
    flip(path)
    result = engine.verify(copy, against=few, device="cpu")
    assert len(result.problems) == 2
    assert result.problems[1].startswith("the samples can't be compared: ")
    assert result.samples_compared == 0


def test_quality_that_promises_too_much_is_found(few, few_codec, store_path, tmp_path):
    """A store in good order, which says of the samples of shard 3 that they are exact."""
    codes = StoreContents(store_path).read_array(QUALITY)
    codes[96:128] = 0
    forged = forged_store(few, few_codec, tmp_path / "forged.zarr", codes)
    assert engine.verify(forged, device="cpu").ok
    (problem,) = engine.verify(forged, against=few, device="cpu").problems
    assert problem == "shard 3 (samples 96 to 127): 32 samples decode worse than recorded"


def forged_store(data, codec, path, codes):
    """A store of `data` with the codes of its quality as they are given."""
    identity = {"data": identify(open_source(data)), "sidecars": {}}
    plan = StorePlan(RowGrid(len(data), 8, 32), codec.files, 1.0, 255.0, {}, True, identity)
    objects = LocalObjects(path)
    objects.make_folder()
    writer = StoreWriter.create(objects, plan)
    for shard in range(plan.grid.shard_count):
        rows = slice(*plan.grid.shard_rows(shard))
        digest = xxhash.xxh3_128_digest(data[rows].tobytes())
        facts = {"mode": Mode.LATENTS, "source_xxh3_128": np.frombuffer(digest, np.uint8)}
        latents = plan.array(LATENTS).encode_shard(codec.encode(data[rows]))
        made = {LATENTS: latents, QUALITY: plan.array(QUALITY).encode_shard(codes[rows])}
        writer.commit(shard, made, facts)
    writer.seal()
    return path


def test_what_is_not_there(copy, tmp_path):
    with pytest.raises(InvalidInput, match="no such store"):
        engine.verify(tmp_path / "none.zarr")
    with pytest.raises(InvalidInput, match="expected a file or a folder"):
        engine.verify(copy, against=tmp_path / "none.npy", device="cpu")


def test_a_store_being_written_is_refused(few, few_codec, tmp_path):
    class StopError(Exception):
        pass

    def stop(done, total):
        raise StopError

    with pytest.raises(StopError):
        engine.compress(few, tmp_path / "x.zarr", few_codec, progress=stop)
    with pytest.raises(IncompleteStore, match="run the same `engine compress` again"):
        engine.verify(tmp_path / "x.zarr")
