"""A damaged store gives right values or a clear error: no other exception, no wrong values."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import engine
from engine.errors import CorruptStore, EngineError, IncompatibleStore, IncompleteStore
from engine.store.arrays import METADATA
from engine.store.contents import StoreContents
from engine.store.head import ATTRIBUTE, WRITING, _digest
from engine.store.root import is_store

from ..laws import flip_bit, same_values, truncate

# The fixture is put right after each example.
FUZZ = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100
)


def readings(path):
    """Everything that can be read of a store, as thunks by name."""
    store = engine.open(path, device="cpu")
    return {
        "samples": lambda: np.asarray(store),
        "latents": store.read_latents,
        "max_abs_error": lambda: store.quality["max_abs_error"],
        "mse": lambda: store.quality["mse"],
        "text": lambda: store.sidecars["text"],
        "place": lambda: store.sidecars["place"],
        "psnr_db": lambda: np.array(store.summary.psnr_db),
        "shape": lambda: np.array(store.shape),
    }


@pytest.fixture(scope="module")
def expected(small_store):
    return {name: read() for name, read in readings(small_store).items()}


@pytest.fixture
def damaged(small_store, tmp_path):
    """A copy of the store to damage."""
    return shutil.copytree(small_store, tmp_path / "damaged.zarr")


def check(path, expected):
    """Read everything; the number of readings that were refused."""
    try:
        found = readings(path)
    except EngineError as error:
        assert "\n" not in str(error)
        return len(expected)
    refused = 0
    for name, read in found.items():
        try:
            assert same_values(read(), expected[name]), name
        except EngineError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
            refused += 1
    return refused


def objects_of(store):
    """All its files, those of shards and metadata first."""
    paths = [path for path in store.rglob("*") if path.is_file()]
    return sorted(paths, key=lambda path: ("codecs" in path.parts, str(path)))


def test_an_intact_store_reads_whole(small_store, expected):
    assert check(small_store, expected) == 0


@FUZZ
@given(data=st.data())
def test_a_flipped_bit(data, damaged, expected):
    path = data.draw(st.sampled_from(objects_of(damaged)))
    content = path.read_bytes()
    flip_bit(path, data.draw(st.integers(0, 8 * len(content) - 1)))
    try:
        check(damaged, expected)
    finally:
        path.write_bytes(content)


@FUZZ
@given(data=st.data())
def test_a_truncated_object(data, damaged, expected):
    path = data.draw(st.sampled_from(objects_of(damaged)))
    content = path.read_bytes()
    truncate(path, data.draw(st.integers(0, len(content) - 1)))
    try:
        check(damaged, expected)
    finally:
        path.write_bytes(content)


def test_a_missing_object(damaged, expected):
    unread = ("encoder.onnx", "label", "flag", "raw")
    for path in objects_of(damaged):
        content = path.read_bytes()
        path.unlink()
        refused = check(damaged, expected)
        path.write_bytes(content)
        group = path.name == METADATA and json.loads(content)["node_type"] == "group"
        harmless = any(name in path.parts for name in unread) and (
            path.name != METADATA or "encoder.onnx" in path.parts
        )
        expect_harm = path.parent == damaged or path.parent.name == "data" or not group
        assert harmless or refused or not expect_harm, path


@pytest.mark.parametrize("name", ["latents/c/{}/0", "quality/c/{}/0", "sidecars/text/c/{}/0"])
def test_swapped_shards(name, damaged, expected):
    one, other = (damaged / "data/part-0" / name.format(shard) for shard in (1, 2))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    with pytest.raises(CorruptStore, match=r"not the one that the ledger recorded"):
        StoreContents(damaged).read_array(name.split("/c/")[0])
    assert check(damaged, expected) >= 1


def test_a_shard_of_another_store(small_data, make_codec, damaged, expected, tmp_path):
    data, sidecars = small_data
    other = tmp_path / "other.zarr"
    codec = make_codec(data, 3)
    sizes = {"chunk_samples": 4, "shard_samples": 8}
    engine.compress(data + np.int16(1), other, codec, sidecars=sidecars, **sizes)
    shutil.copy(other / "data/part-0/latents/c/1/0", damaged / "data/part-0/latents/c/1/0")
    assert check(damaged, expected) >= 2


def resign(store, key, content):
    """Replace an object and make the head vouch for it."""
    (store / key).write_bytes(content)
    document = json.loads((store / METADATA).read_text())
    head = document["attributes"][ATTRIBUTE]
    head["objects"][key] = [len(content), hashlib.sha256(content).hexdigest()]
    del head["sha256"]
    head["sha256"] = _digest(head)
    (store / METADATA).write_text(json.dumps(document))


def leaves(document, path=()):
    """Paths of all members of a JSON document, however deep."""
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, key))


def replaced(document, path, value):
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = replaced(copy[path[0]], path[1:], value)
    return copy


JUNK = st.sampled_from(
    [None, True, -1, 0, 1, 3, 10**30, 0.5, "", "uint8", "object", "../..", [], [0], [-1, 2], {}]
)
SIGNED = [
    "data/zarr.json",
    "data/part-0/latents/zarr.json",
    "data/part-0/quality/zarr.json",
    "data/part-0/sidecars/text/zarr.json",
    "data/part-0/ledger/zarr.json",
]


@FUZZ
@given(key=st.sampled_from(SIGNED), data=st.data(), junk=JUNK)
def test_signed_metadata_that_makes_no_sense(key, data, junk, damaged):
    content, head = (damaged / key).read_bytes(), (damaged / METADATA).read_bytes()
    document = json.loads(content)
    path = data.draw(st.sampled_from(list(leaves(document))))
    resign(damaged, key, json.dumps(replaced(document, path, junk)).encode())
    try:
        check_only_engine_errors(damaged)
    finally:
        (damaged / key).write_bytes(content)
        (damaged / METADATA).write_bytes(head)


def check_only_engine_errors(path):
    """Opening and reading gives anything, or an error of one line."""
    try:
        found = readings(path).values()
    except EngineError as error:
        assert "\n" not in str(error)
        return
    for read in found:
        try:
            read()
        except EngineError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"null", b"\xff", b"{}"])
def test_signed_metadata_that_is_no_document(content, damaged):
    for key in SIGNED:
        resign(damaged, key, content)
    with pytest.raises(CorruptStore, match="makes no sense"):
        engine.open(damaged, device="cpu").shape  # noqa: B018


@pytest.mark.parametrize(
    ("make", "error", "problem"),
    [
        (lambda path: None, engine.InvalidInput, "no such store"),
        (lambda path: path.mkdir(), CorruptStore, r"not a latent store \(no zarr.json"),
        (lambda path: path.write_bytes(b"x"), CorruptStore, r"not a latent store \(no zarr.json"),
    ],
    ids=["nothing", "empty", "file"],
)
def test_what_is_no_store(make, error, problem, tmp_path):
    make(tmp_path / "x.zarr")
    with pytest.raises(error, match=f"x.zarr: {problem}"):
        engine.open(tmp_path / "x.zarr")
    assert not is_store(tmp_path / "x.zarr")


@pytest.mark.parametrize("document", ["{}", '{"attributes": null}', "[]", "x", '{"attributes":[]}'])
def test_other_zarr_json_is_no_store(document, tmp_path):
    (tmp_path / METADATA).write_text(document)
    assert not is_store(tmp_path)
    with pytest.raises(CorruptStore, match="not a latent store"):
        engine.open(tmp_path)


def change_head(store, **changes):
    document = json.loads((store / METADATA).read_text())
    head = document["attributes"][ATTRIBUTE] | changes
    del head["sha256"]
    document["attributes"][ATTRIBUTE] = head | {"sha256": _digest(head)}
    (store / METADATA).write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("changes", "error", "problem"),
    [
        ({"required": ["patches"]}, IncompatibleStore, "requires .*patches"),
        ({"format": 2}, IncompatibleStore, "format 2"),
        ({"state": WRITING}, IncompleteStore, "run the same `engine compress` again"),
        ({"codec": "../../data"}, CorruptStore, "codec"),
        ({"objects": {}}, CorruptStore, "doesn't list"),
        ({"store_id": "0" * 32}, CorruptStore, "belongs to another place"),
    ],
    ids=str,
)
def test_heads_that_promise_something_else(changes, error, problem, damaged):
    change_head(damaged, **changes)
    with pytest.raises(error, match=f"damaged.zarr: .*{problem}"):
        np.asarray(engine.open(damaged, device="cpu"))


def test_an_unknown_optional_feature_is_ignored(damaged, expected):
    change_head(damaged, optional=["thumbnails"], colour="green")
    assert check(damaged, expected) == 0


def test_a_shard_that_is_put_right_reads_right_in_a_store_that_is_open(damaged, expected):
    path = damaged / "data/part-0/latents/c/1/0"
    content, store = path.read_bytes(), engine.open(damaged, device="cpu", cache_bytes=0)
    assert same_values(store[:], expected["samples"])
    flip_bit(path, 99)
    with pytest.raises(CorruptStore, match="latents/c/1/0"):
        store[8]
    repaired = path.with_name("repaired")
    repaired.write_bytes(content)
    repaired.replace(path)
    assert same_values(store[:], expected["samples"])


def test_a_shard_that_is_replaced_stays_what_it_was_in_a_store_that_is_open(damaged, expected):
    store = engine.open(damaged, device="cpu", cache_bytes=0)
    assert same_values(store[:], expected["samples"])
    for path in (damaged / "data/part-0/latents/c").glob("*/0"):
        path.unlink()
    assert same_values(store[:], expected["samples"])
