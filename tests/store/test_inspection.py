"""Every kind of damage to any object of any store is found, and names just that object."""

import itertools
import shutil

import numpy as np
import pytest

from engine.errors import EngineError
from engine.store.contents import StoreContents
from engine.store.inspection import inspect

from ..kept_stores import object_names, shard_names, shard_of
from ..laws import flip_bit, truncate

HEAD = "zarr.json"
INDEX_BYTES = 2 * 16 + 4


@pytest.fixture
def copy(kept, tmp_path):
    """A copy of a store to damage."""
    return kept.copy(tmp_path / "copy.zarr")


def found(store):
    """The objects that are found to be wrong, and what is said of each."""
    try:
        problems = inspect(StoreContents(store)).problems
    except EngineError as error:
        assert HEAD in str(error)
        return {HEAD: str(error)}
    for problem in problems.values():
        assert "\n" not in problem
    return dict(problems)


def flip(bit):
    return lambda path: flip_bit(path, bit)


def keep_first(size_bytes):
    return lambda path: path.write_bytes(path.read_bytes()[:size_bytes])


def keep_index(path):
    path.write_bytes(path.read_bytes()[-INDEX_BYTES:])


def halve(path):
    truncate(path, path.stat().st_size // 2)


def extend(path):
    path.write_bytes(path.read_bytes() + b"\0")


def lose(path):
    path.unlink()


def clear(path):
    path.write_bytes(bytes(path.stat().st_size))


DAMAGES = {
    "first bit": flip(0),
    "last bit": flip(-1),
    "a bit": flip(8 * 41 + 3),
    "another bit": flip(-8 * 17 + 2),
    "empty": keep_first(0),
    "one byte": keep_first(1),
    "half": halve,
    "last byte": keep_first(-1),
    "index": keep_index,
    "longer": extend,
    "zeros": clear,
    "missing": lose,
}


def check_damages(store, names, damages):
    """One damage at a time, each put right again."""
    for name, damage in itertools.product(names, damages):
        content = (store / name).read_bytes()
        DAMAGES[damage](store / name)
        if damage == "missing" or (store / name).read_bytes() != content:
            assert list(found(store)) == [name], (name, damage)
        (store / name).write_bytes(content)
    assert found(store) == {}


def test_an_intact_store(kept):
    inspection = inspect(StoreContents(kept.path))
    assert inspection.problems == {}
    assert inspection.checked == len(object_names(kept.path))


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damage_to_any_object_of_a_shard_names_it(damage, copy):
    check_damages(copy, shard_names(copy), [damage])


@pytest.mark.parametrize("damage", ["a bit", "half", "missing"])
def test_damage_to_any_other_object_names_it(damage, copy):
    others = [name for name in object_names(copy) if shard_of(name) is None]
    check_damages(copy, [name for name in others if (name, damage) != (HEAD, "missing")], [damage])


@pytest.mark.slow
def test_all_damages_to_all_objects(copy):
    names = [name for name in object_names(copy) if name != HEAD]
    check_damages(copy, names, DAMAGES)
    check_damages(copy, [HEAD], DAMAGES.keys() - {"missing"})


def test_a_shortened_head(copy):
    check_damages(copy, [HEAD], ["last byte", "half", "empty", "longer"])


@pytest.mark.parametrize("kind", ["max error"])
def test_bits_of_the_head_and_of_all_around_it(kind, kept_store, tmp_path):
    copy = kept_store(kind).copy(tmp_path / "copy.zarr")
    content = (copy / HEAD).read_bytes()
    before, behind = content.index(b'"latent_store"'), content.index(b'"node_type"')
    around = [*range(8 * before), *range(8 * behind, 8 * len(content))]
    for bit in (*around, *range(0, 8 * len(content), 97)):
        (copy / HEAD).write_bytes(content)
        flip_bit(copy / HEAD, bit)
        assert list(found(copy)) == [HEAD], bit


@pytest.mark.parametrize("kind", ["max error"])
def test_bits_of_the_objects_of_a_shard(kind, kept_store, tmp_path):
    copy = kept_store(kind).copy(tmp_path / "copy.zarr")
    for name in [name for name in shard_names(copy) if shard_of(name) == 2]:
        content = (copy / name).read_bytes()
        for bit in range(0, 8 * len(content), 23):
            (copy / name).write_bytes(content)
            flip_bit(copy / name, bit)
            assert list(found(copy)) == [name], bit
        (copy / name).write_bytes(content)


def swap(store, one, other):
    contents = [(store / name).read_bytes() for name in (one, other)]
    for name, content in zip((other, one), contents, strict=True):
        (store / name).write_bytes(content)


def check_swaps(store, pairs):
    for one, other in pairs:
        same = (store / one).read_bytes() == (store / other).read_bytes()
        swap(store, one, other)
        assert list(found(store)) == ([] if same else sorted((one, other))), (one, other)
        swap(store, one, other)


def array_of(name):
    return name.partition("/c/")[0]


def test_swapped_shards_are_both_named(copy):
    pairs = itertools.combinations(shard_names(copy), 2)
    check_swaps(copy, [(one, other) for one, other in pairs if array_of(one) == array_of(other)])


def test_objects_swapped_across_arrays_are_both_named(copy):
    names = [name for name in object_names(copy) if name != HEAD]
    order = np.random.default_rng(0).permutation(len(names))
    check_swaps(copy, [(names[one], names[other]) for one, other in itertools.pairwise(order)])


@pytest.mark.slow
def test_all_swaps(copy):
    check_swaps(copy, itertools.combinations(set(object_names(copy)) - {HEAD}, 2))


@pytest.fixture(params=["other data", "other step", "other sidecars"])
def replayed(request, kept, tmp_path):
    """Another store of the same codec, with a shard's objects where this one has them."""
    changes = {
        "other data": {"data": kept.data[::-1]},
        "other step": {"step": 2.0},
        "other sidecars": {"sidecars": {"label": np.ones(len(kept.data)), "text": ["x"] * 22}},
    }[request.param]
    kept.compress(tmp_path / "other.zarr", **changes)
    return tmp_path / "other.zarr"


def test_an_object_replayed_from_another_store_of_the_codec_is_named(replayed, copy):
    names = set(object_names(copy)) & set(object_names(replayed)) - {HEAD}
    replays = 0
    for name in names:
        content = (copy / name).read_bytes()
        shutil.copy(replayed / name, copy / name)
        same = (copy / name).read_bytes() == content
        assert list(found(copy)) == ([] if same else [name])
        (copy / name).write_bytes(content)
        replays += not same
    assert replays


def test_a_whole_shard_replayed_is_named(replayed, copy):
    here, there = (set(shard_names(store)) for store in (copy, replayed))
    names = {name for name in here | there if shard_of(name) == 1}
    old, new = (
        {name: (store / name).read_bytes() for name in names if (store / name).is_file()}
        for store in (copy, replayed)
    )
    for folder in {(copy / name.partition("/c/")[0]) / "c" / "1" for name in old}:
        shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    for name, content in new.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(content)
    differing = {name for name in names if old.get(name) != new.get(name)}
    assert found(copy).keys() == differing


def test_surplus_objects_are_named(copy):
    surplus = [
        "notes.txt",
        "data/part-0/latents/c/3/0",
        "data/part-0/latents/c/0/1",
        "data/part-0/verbatim/c/0/0/x",
        "data/part-0/commits/c/0",
        "data/part-1/zarr.json",
        "codecs/notes.txt",
    ]
    for name in surplus:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(b"x")
    assert list(found(copy)) == sorted(surplus)


# What says how to read the ledger.
LEDGER = ("/ledger/", "data/zarr.json", "/latents/z", "/quality/z", "/label/z", "/text/z",
          "/residuals/z", "/quantised/z", "/verbatim/z", "/patched/z", "/patches/z")  # fmt: skip


def damage_many(store, seed, names, damages):
    """Damage some of these objects at once; which ones."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(names, rng.integers(2, len(names)), replace=False)
    for name in chosen:
        DAMAGES[rng.choice(damages)](store / name)
    return sorted(chosen)


@pytest.mark.parametrize("seed", range(3))
def test_many_damages_at_once_are_all_named(seed, copy):
    names = [n for n in object_names(copy) if n != HEAD and not any(part in n for part in LEDGER)]
    chosen = damage_many(copy, seed, names, ["a bit", "half", "longer", "zeros", "missing"])
    assert list(found(copy)) == chosen


@pytest.mark.parametrize("seed", range(3))
def test_without_its_ledger_shards_are_known_by_their_own_checksums(seed, copy):
    names = [name for name in object_names(copy) if name != HEAD]
    lost = np.random.default_rng(seed).choice([n for n in names if any(p in n for p in LEDGER)])
    flip_bit(copy / lost, 99)
    others = [name for name in names if name != lost]
    chosen = damage_many(copy, seed, others, ["a bit", "half", "longer", "zeros"])
    assert list(found(copy)) == sorted([lost, *chosen])


def test_an_emptied_shard_is_called_truncated(copy):
    name = shard_names(copy)[0]
    (copy / name).write_bytes(b"")
    assert found(copy)[name].startswith("truncated (expected ")
