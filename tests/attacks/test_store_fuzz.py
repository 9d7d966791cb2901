"""Random lies in stores, every digest right again: an error of the engine, or samples."""

import json
import random
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import engine
from engine.errors import EngineError
from engine.store.contents import StoreContents
from tests.attacks.forged_store import PART, VARIABLE, ForgedStore
from tests.attacks.make_attacks import GOOD_STORE, HERE
from tests.attacks.mutations import mutated_bytes, mutated_document

RANS_STORE = HERE.parent / "golden" / "format-1-rans.zarr"
LONG = 5_000
LIMIT_BYTES = 64 << 20
SEEDS = st.integers(0, (1 << 32) - 1)
VALUES = [0, 1, 2, 3, 4, 255, 1 << 31, (1 << 63) - 1, (1 << 64) - 1]
NUMBERS = [0.0, -0.0, 1.0, -1.0, 0.5, 0.1, 1e-320, 1e308, np.inf, -np.inf, np.nan]


@pytest.fixture(scope="module", params=[HERE / GOOD_STORE, RANS_STORE], ids=["kept", "rans"])
def store(request, tmp_path_factory):
    """A good store and a copy, in which each example changes objects and takes them back."""
    copy = shutil.copytree(request.param, tmp_path_factory.mktemp("fuzz") / "a.zarr")
    return request.param, copy


def read(original, store, forged):
    """Read a store with the changes of `forged` in every way, then take them back."""
    changed = forged.changed
    for key, content in changed.items():
        (store / key).parent.mkdir(parents=True, exist_ok=True)
        (store / key).write_bytes(content)
    try:
        for way in ways(store):
            refused_or_read(way)
    finally:
        for key in changed:
            good = original / key
            (store / key).unlink()
            if good.exists():
                shutil.copy(good, store / key)


def ways(path):
    def opened():
        return engine.open(path, "cpu", certify=False, max_memory_bytes=LIMIT_BYTES)

    yield lambda: opened()[:40]
    yield lambda: opened().read_latents(slice(40))
    yield lambda: opened().latents[:40]
    yield lambda: opened().quality
    yield lambda: dict(opened().sidecars)
    yield lambda: opened().summary
    yield lambda: StoreContents(path, incomplete=True, max_memory_bytes=LIMIT_BYTES).ledger
    yield lambda: engine.verify(path, device="cpu", max_memory_bytes=LIMIT_BYTES)


def refused_or_read(way):
    try:
        with np.errstate(all="ignore"):
            way()
    except EngineError as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 1000


def changed_head(forged, rng):
    forged.head = json.loads(mutated_document(forged.head, rng))
    if not isinstance(forged.head, dict):
        forged.head = {"objects": {}}


def changed_metadata(forged, rng):
    keys = [VARIABLE, f"{PART}/ledger/zarr.json"]
    keys += [f"{PART}/{name}/zarr.json" for name in forged.arrays]
    forged.document(rng.choice(keys), lambda document: mutated_document(document, rng))


def changed_records(forged, rng):
    def change(ledger):
        for _ in range(rng.randint(1, 3)):
            name = rng.choice([name for name in ledger.dtype.names if name != "crc32c"])
            column = ledger[name].reshape(len(ledger), -1)
            dtype = column.dtype
            value = rng.choice(NUMBERS if dtype.kind == "f" else VALUES)
            value = value if dtype.kind == "f" else value & np.iinfo(dtype).max
            column[rng.randrange(len(ledger)), rng.randrange(column.shape[1])] = value

    forged.records(change)


def changed_chunks(forged, rng):
    names = ["latents", "quality", "residuals", "patched", "patches", "sidecars/text"]
    name = rng.choice([name for name in names if name in forged.arrays])

    def change(chunks):
        place = rng.randrange(len(chunks))
        chunks[place] = mutated_bytes(chunks[place], rng)
        if rng.random() < 0.7:
            return chunks, None
        return chunks, [(rng.choice(VALUES), rng.choice(VALUES)) for _ in chunks]

    forged.shard(name, change)


def changed_bytes(forged, rng):
    key = rng.choice(sorted(forged.head["objects"]))
    forged.put(key, mutated_bytes(forged.objects[key], rng))


CHANGES = [changed_head, changed_metadata, changed_records, changed_chunks, changed_bytes]


def try_it(store, change, seed):
    forged = ForgedStore(store[0])
    change(forged, random.Random(seed))
    read(*store, forged)


@pytest.mark.parametrize("change", CHANGES)
@settings(max_examples=12)
@given(seed=SEEDS)
def test_lies(store, change, seed):
    try_it(store, change, seed)


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
@settings(max_examples=LONG)
@given(seed=SEEDS)
def test_many_lies(store, change, seed):
    try_it(store, change, seed)
