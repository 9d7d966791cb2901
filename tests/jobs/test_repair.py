"""Repair: a damaged store is again what it was, and what was whole is not touched."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import engine
from engine.errors import CorruptStore, IncompleteStore, InvalidInput
from engine.jobs.former_job import former_job
from engine.sources import open_source
from engine.store.contents import StoreContents
from engine.store.ledger import Mode
from engine.store.writer import StoreWriter

from ..kept_stores import object_names, shard_names, shard_of
from ..laws import assert_same_tree, flip_bit, tree, truncate

HEAD = "zarr.json"


def flip(path):
    flip_bit(path, 8 * path.stat().st_size // 2 + 3)


def cut(path):
    truncate(path, path.stat().st_size // 2)


def lose(path):
    path.unlink()


DAMAGES = [flip, cut, lose]


@pytest.fixture
def copy(kept, tmp_path):
    """A copy of a store to damage."""
    return kept.copy(tmp_path / "copy.zarr")


def states(store):
    """What changes when a file is written again."""
    found = {name: (store / name).stat() for name in object_names(store)}
    return {name: (state.st_ino, state.st_mtime_ns) for name, state in found.items()}


def check_repaired(kept, store, damaged, **options):
    """It is what it was, and only what was damaged was written; the report."""
    before = states(store)
    report = kept.repair(store, **options)
    after = states(store)
    assert [name for name, state in after.items() if before.get(name) != state] == damaged
    assert report.repaired == tuple(damaged)
    assert report.identical
    assert_same_tree(store, kept.path)
    assert engine.verify(store, against=kept.data, device="cpu").ok
    return report


def sources(kept):
    """What a job needs that the store may have lost."""
    return {"codec": kept.codec, "sidecars": kept.options.get("sidecars")}


def test_an_intact_store_is_left_alone(kept, copy):
    report = check_repaired(kept, copy, [])
    assert (report.removed, report.shards) == ((), ())


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_one_object_of_a_shard(damage, kept, copy):
    for name in shard_names(copy):
        damage(copy / name)
        assert check_repaired(kept, copy, [name], **sources(kept)).shards == (shard_of(name),)


def test_any_one_of_all_other_objects(kept, copy):
    for number, name in enumerate(object_names(copy)):
        if shard_of(name) is None and name != HEAD:
            DAMAGES[number % 3](copy / name)
            check_repaired(kept, copy, [name], **sources(kept))


@pytest.mark.parametrize("seed", range(3))
def test_many_at_once(seed, kept, copy):
    rng = np.random.default_rng(seed)
    names = [name for name in object_names(copy) if name != HEAD]
    chosen = sorted(rng.choice(names, rng.integers(2, len(names)), replace=False))
    for name in chosen:
        rng.choice(DAMAGES)(copy / name)
    kept.repair(copy, **sources(kept))
    assert_same_tree(copy, kept.path)


def test_all_but_the_head(kept, copy):
    for name in object_names(copy):
        if name != HEAD:
            lose(copy / name)
    kept.repair(copy, **sources(kept))
    assert_same_tree(copy, kept.path)


def test_swapped_and_replayed_shards(kept, copy, tmp_path):
    kept.compress(tmp_path / "other.zarr", data=kept.data[::-1])
    one, other = (copy / name for name in shard_names(copy)[:2])
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    replayed = [name for name in shard_names(copy) if shard_of(name) == 2]
    for name in replayed:
        if (tmp_path / "other.zarr" / name).exists():
            (copy / name).write_bytes((tmp_path / "other.zarr" / name).read_bytes())
    kept.repair(copy, **sources(kept))
    assert_same_tree(copy, kept.path)


def test_surplus_objects_are_removed(kept, copy):
    surplus = ["data/part-0/latents/c/0/9", "data/part-0/latents/c/7/0", "notes.txt", "a (1)/b c"]
    for name in surplus:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(b"x")
    report = kept.repair(copy)
    assert report.removed == tuple(sorted(surplus))
    assert object_names(copy) == object_names(kept.path)
    assert engine.verify(copy, device="cpu").ok


def test_an_object_where_a_shard_should_have_none_is_removed(kept_store, tmp_path):
    kept = kept_store("lossless")
    copy = kept.copy(tmp_path / "copy.zarr")
    stray = copy / "data/part-0/residuals/c/0/0/0"
    assert not stray.exists()
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"x")
    assert kept.repair(copy).removed == ("data/part-0/residuals/c/0/0/0",)
    assert not stray.exists()


def test_what_surrounds_the_head_is_repaired(kept, copy):
    head = copy / HEAD
    head.write_bytes(head.read_bytes().replace(b'"zarr_format":3', b'"zarr_format":2'))
    assert not engine.verify(copy, device="cpu").ok
    check_repaired(kept, copy, [HEAD])


def test_a_damaged_head_is_refused_and_nothing_touched(kept, copy):
    flip(copy / HEAD)
    flip(copy / shard_names(copy)[0])
    before = tree(copy)
    with pytest.raises(CorruptStore, match=r"head is damaged|not a latent store"):
        kept.repair(copy)
    assert tree(copy) == before


@pytest.mark.parametrize("change", ["sampled", "between samples", "shape", "dtype"])
def test_other_data_are_refused(change, kept_store, make_codec, tmp_path):
    """With more samples than the fingerprint looks at, row 1 isn't one of them."""
    data = np.random.default_rng(0).integers(0, 99, (200, 5)).astype(np.int16)
    store, codec = tmp_path / "it.zarr", make_codec(data, 2)
    engine.compress(data, store, codec, max_error=2, chunk_samples=8, shard_samples=64)
    other = {"shape": data[:199], "dtype": data.astype(np.int32)}.get(change, data.copy())
    if change in ("sampled", "between samples"):
        other[0 if change == "sampled" else 1] += 1
    name = "data/part-0/quality/c/0/0"
    flip(store / name)
    before = tree(store)
    with pytest.raises(InvalidInput, match=r"samples 0 to 63 are not|is not the data|the codec"):
        engine.repair(store, other, device="cpu")
    assert tree(store) == before
    engine.repair(store, data, device="cpu")
    assert engine.verify(store, against=data, device="cpu").ok


def test_another_codec_is_refused(kept_store, make_codec, tmp_path):
    kept = kept_store("none")
    copy = kept.copy(tmp_path / "copy.zarr")
    flip(copy / shard_names(copy)[0])
    with pytest.raises(InvalidInput, match="was written with the codec"):
        kept.repair(copy, codec=make_codec(kept.data, 1))


def test_a_damaged_sidecar_is_asked_for(kept_store, tmp_path):
    kept = kept_store("none")
    copy = kept.copy(tmp_path / "copy.zarr")
    names = ["data/part-0/sidecars/label/c/1", "data/part-0/sidecars/text/c/0/0"]
    for name in names:
        flip(copy / name)
    before = tree(copy)
    with pytest.raises(InvalidInput, match=r"sidecar 'text' is damaged.*--with text=PATH"):
        kept.repair(copy)
    assert tree(copy) == before
    with pytest.raises(InvalidInput, match=r"sidecar 'label' is damaged at samples 8 to 15"):
        kept.repair(copy, sidecars={"text": kept.options["sidecars"]["text"]})
    check_repaired(
        kept, copy, [name for name in names if "label" in name] or names, **sources(kept)
    )


def test_sidecars_that_are_whole_need_not_be_given(kept_store, tmp_path):
    kept = kept_store("none")
    copy = kept.copy(tmp_path / "copy.zarr")
    names = [name for name in shard_names(copy) if "sidecars" not in name]
    for name in names:
        flip(copy / name)
    check_repaired(kept, copy, names)


def test_a_store_without_networks_needs_no_codec(kept_store, tmp_path):
    for kind in ("verbatim", "quantised"):
        kept = kept_store(kind)
        assert not list(kept.path.rglob("*.onnx"))
        copy = kept.copy(tmp_path / f"{kind}.zarr")
        names = [name for name in shard_names(copy) if "sidecars" not in name]
        for name in names:
            flip(copy / name)
        check_repaired(kept, copy, names)


@pytest.mark.parametrize("kind", ["none", "max error"])
def test_a_store_without_its_encoder_needs_the_codec(kind, kept_store, tmp_path):
    kept, store = kept_store(kind), tmp_path / "it.zarr"
    kept.compress(store, keep_encoder=False)
    whole = tree(store)
    flip(store / "data/part-0/latents/c/1/0")
    with pytest.raises(
        InvalidInput, match=r"stored without its encoder.*pass it \(--codec\)"
    ) as raised:
        kept.repair(store)
    assert "\n" not in str(raised.value)
    kept.repair(store, codec=kept.codec)
    assert tree(store) == whole


def test_a_store_being_written_is_refused(kept_store, tmp_path):
    kept = kept_store("none")
    with pytest.raises(ZeroDivisionError):
        kept.compress(tmp_path / "it.zarr", progress=lambda done, total: 1 / 0)
    with pytest.raises(IncompleteStore, match="run the same `engine compress` again"):
        kept.repair(tmp_path / "it.zarr")


def test_what_is_not_there(kept_store, tmp_path):
    kept = kept_store("none")
    with pytest.raises(InvalidInput, match="no such store"):
        kept.repair(tmp_path / "none.zarr")
    copy = kept.copy(tmp_path / "copy.zarr")
    with pytest.raises(InvalidInput, match="expected a file or a folder"):
        engine.repair(copy, tmp_path / "none.npy")


def test_progress_counts_shards(kept_store, tmp_path):
    kept = kept_store("none")
    copy = kept.copy(tmp_path / "copy.zarr")
    for shard in (0, 2):
        flip(copy / f"data/part-0/latents/c/{shard}/0")
    seen = []
    kept.repair(copy, progress=lambda *counts: seen.append(counts))
    assert seen == [(1, 2), (2, 2)]


def of_another_machine(kept, path, make_shard):
    """The store as another machine might have written it: shard 1 came out as `make_shard` has it.

    Everything in it is in order, and holds what it promises.
    """
    kept.compress(path)
    contents = StoreContents(path)
    with open_source(kept.data) as source:
        job = former_job(contents, source, kept.codec, kept.options.get("sidecars"), "cpu")
        plan = job.coded(job.plan(), contents)
    records = {shard: record.tobytes() for shard, record in enumerate(contents.ledger)}
    record = np.frombuffer(records.pop(1), contents.ledger.dtype)[0]
    facts = {name: record[name] for name in ("mode", *record.dtype.names[7:18])}
    made = {
        array.name: array.encode_shard(contents.read_chunk(array.name, 1, 0)[:8])
        for array in plan.arrays
        if array.grid.chunks_per_shard == 1
    }
    rows = slice(8, 16)
    latents = np.concatenate([contents.read_chunk("latents", 1, chunk) for chunk in (0, 1)])
    changed, more = make_shard(kept.data[rows], latents)
    made |= {name: plan.array(name).encode_shard(values) for name, values in changed.items()}
    writer = StoreWriter.reopen(contents.objects, plan, contents.head, records)
    writer.commit(1, made, facts | more)
    writer.seal()
    assert engine.verify(path, against=kept.data, device="cpu").ok
    return path


def one_off(samples, latents):
    """Latents that were rounded the other way."""
    latents = latents.copy()
    latents[3, 1] += 1
    return {"latents": latents, "quality": np.full((8, 2), 255, np.uint8)}, {}


def as_they_are(samples, latents):
    """The samples themselves, where residuals are smaller here."""
    facts = {"mode": Mode.VERBATIM, "patches": 0, "residual_step": 0.0}
    return {"latents": latents, "verbatim": samples}, facts


OTHERS = [("none", one_off, "latents/c/1/0"), ("max error", as_they_are, "verbatim/c/1/0/0")]


@pytest.mark.parametrize(("kind", "make_shard", "name"), OTHERS)
def test_a_shard_that_comes_out_otherwise_is_committed_anew(
    kind, make_shard, name, kept_store, tmp_path
):
    kept = kept_store(kind)
    store = of_another_machine(kept, tmp_path / "it.zarr", make_shard)
    head, before = StoreContents(store).head, states(store)
    whole = "data/part-0/quality/c/2/0"
    flip(store / f"data/part-0/{name}")
    flip(store / whole)
    report = kept.repair(store)
    assert (report.identical, report.shards) == (False, (1, 2))
    contents = StoreContents(store)
    assert contents.is_sealed
    assert contents.head.generation == head.generation + 1
    written = {n for n, state in states(store).items() if before.get(n) != state}
    touched = {n for n in written if shard_of(n) not in (1, None)}
    assert touched == {whole}
    assert engine.verify(store, against=kept.data, device="cpu").problems == ()
    for path in shard_names(kept.path):
        assert (store / path).read_bytes() == (kept.path / path).read_bytes()
    assert shard_names(store) == shard_names(kept.path)


@pytest.mark.parametrize(("kind", "make_shard", "name"), OTHERS)
def test_what_is_whole_stays_where_a_neighbour_is_damaged(
    kind, make_shard, name, kept_store, tmp_path
):
    """Only what is damaged has to come out as it was."""
    kept = kept_store(kind)
    store = of_another_machine(kept, tmp_path / "it.zarr", make_shard)
    before = tree(store)
    flip(store / "data/part-0/sidecars/label/c/1")
    report = kept.repair(store, sidecars=kept.options["sidecars"])
    assert report.identical
    assert tree(store) == before


class Repairs:
    """Repairs of copies of a damaged store, killed before each of some changes."""

    def __init__(self, kept, damaged, folder):
        self._kept, self._damaged, self._folder = kept, damaged, folder
        np.save(folder / "data.npy", kept.data)
        kept.codec.save(folder / "it.codec")

    def changes(self):
        """How many changes a whole repair makes."""
        ((status, changes),) = self._run([0])
        assert status == 0
        return changes

    def killed(self, kill_at):
        """The stores that were left, one a kill."""
        for status, _ in self._run(kill_at):
            assert status == signal.SIGKILL
        return [self._store(at) for at in kill_at]

    def _store(self, at):
        return self._folder / f"killed-{at}.zarr"

    def _run(self, kill_at):
        for at in kill_at:
            shutil.copytree(self._damaged, self._store(at))
        repairs = json.dumps([(str(self._store(at)), at) for at in kill_at])
        files = [self._folder / "data.npy", self._folder / "it.codec", repairs]
        script = Path(__file__).with_name("killed_repairs.py")
        return json.loads(subprocess.check_output([sys.executable, script, *files]))


def check_killed(kept, repairs, share):
    """Killed before some of the changes, it is repaired or finished by running again."""
    changes = repairs.changes()
    rng = np.random.default_rng(0)
    chosen = rng.choice(np.arange(1, changes + 1), -(-changes // share), replace=False)
    for store in repairs.killed(sorted({1, changes, *chosen.tolist()})):
        try:
            kept.repair(store, codec=kept.codec)
        except IncompleteStore:
            assert engine.open(store, device="cpu", incomplete=True).committed.any()
            kept.compress(store)
        kept.repair(store)
        assert engine.verify(store, against=kept.data, device="cpu").ok
        for name in shard_names(kept.path):
            assert (store / name).read_bytes() == (kept.path / name).read_bytes()
        assert not list(store.rglob("*.partial"))
        yield store


SHARES = [pytest.param(24), pytest.param(1, marks=pytest.mark.slow)]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", ["gaps", "lossless", "min PSNR"])
def test_killed_before_random_changes(kind, share, kept_store, tmp_path):
    kept = kept_store(kind)
    damaged = kept.copy(tmp_path / "damaged.zarr")
    for name in object_names(damaged)[1::2]:
        if name != HEAD and "sidecars" not in name:
            flip(damaged / name)
    (damaged / "notes.txt").write_text("surplus")
    for store in check_killed(kept, Repairs(kept, damaged, tmp_path), share):
        assert_same_tree(store, kept.path)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize(("kind", "make_shard", "name"), OTHERS)
def test_killed_while_a_shard_is_committed_anew(
    kind, make_shard, name, share, kept_store, tmp_path
):
    kept = kept_store(kind)
    damaged = of_another_machine(kept, tmp_path / "damaged.zarr", make_shard)
    flip(damaged / f"data/part-0/{name}")
    for store in check_killed(kept, Repairs(kept, damaged, tmp_path), share):
        assert StoreContents(store).head.generation == 3
