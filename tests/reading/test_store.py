"""An open store: NumPy's indexing, and what it says of itself."""

import asyncio
import concurrent.futures
import multiprocessing
import operator
import threading

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import engine
from engine.errors import InvalidInput

from ..laws import in_threads, same_values

LENGTH, SIDE = 200, 28
READING = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60
)


@pytest.fixture(scope="module")
def decoded(few, few_codec):
    """The samples as the codec alone makes them."""
    return few_codec.decode(few_codec.encode(few))


def lists(length):
    return st.lists(st.integers(-length, length - 1), max_size=12)


def axis_keys(length):
    """What selects along one axis."""
    integer = st.integers(-length, length - 1)
    mask = st.integers(0, 2**32).map(lambda seed: np.random.default_rng(seed).random(length) > 0.5)
    return st.one_of(integer, integer.map(np.int16), st.slices(length), lists(length), mask)


@READING
@given(key=axis_keys(LENGTH))
def test_one_index_as_numpy(key, store, decoded):
    expected = decoded[key if not isinstance(key, list) or key else np.array([], int)]
    assert same_values(store[key], expected)


@READING
@given(
    first=st.one_of(st.integers(-LENGTH, LENGTH - 1), st.slices(LENGTH)),
    rest=st.lists(
        st.one_of(st.integers(-SIDE, SIDE - 1), st.slices(SIDE), st.none(), st.just([0, 3, 3])),
        max_size=2,
    ),
    ellipsis=st.sampled_from([None, 0, 1, 2]),
)
def test_several_indices_as_numpy(first, rest, ellipsis, store, decoded):
    key = [first, *rest]
    if ellipsis is not None:
        key.insert(min(ellipsis, len(key)), ...)
    try:
        expected = np.asarray(decoded[tuple(key)])
    except IndexError:  # a row's number behind the dots is too large for the sample
        with pytest.raises(IndexError):
            store[tuple(key)]
    else:
        assert same_values(np.asarray(store[tuple(key)]), expected)


@pytest.mark.parametrize(
    "key",
    [
        (),
        ...,
        (...,),
        (..., None),
        (..., 3),
        (..., 3, 4, 5),
        (slice(3), ..., 5),
        ([3, 1, 1], [4, 5, 6]),
        ([3, 1, 1], slice(None), [4, 5, 6]),
        ([3, 1], ..., slice(2)),
        (np.arange(LENGTH) % 50 == 0, [1, 2, 3, 4]),
        (3, slice(None), [4, 5]),
        (3, 4, 5),
        (slice(5), np.eye(SIDE, dtype=bool)),
        (np.int64(7),),
        np.array(7),
        np.array([7]),
        np.array([], int),
    ],
    ids=lambda key: "key" if isinstance(key, np.ndarray) else str(key)[:40],
)
def test_indices_that_need_care(key, store, decoded):
    assert same_values(np.asarray(store[key]), np.asarray(decoded[key]))


@pytest.mark.parametrize("key", [200, -201, [0, 200], (200, 3), (0, 28), ([0], 3, 4, 5)], ids=str)
def test_out_of_range(key, store):
    with pytest.raises(IndexError):
        store[key]


@pytest.mark.parametrize("key", [None, 1.5, "a", [0.5], [[1]], [True], (None, 3)], ids=str)
def test_wrong_kinds(key, store):
    with pytest.raises(InvalidInput, match="selected by an integer, a slice, a list"):
        store[key]


def test_what_it_says_of_itself(store, few, few_codec):
    assert (store.shape, store.dtype, store.ndim, len(store)) == (few.shape, few.dtype, 3, 200)
    assert store.codec.digest == few_codec.digest
    assert store.step == 1.0
    assert repr(store).endswith("digits.zarr shape=(200, 28, 28) dtype=uint8>")


def test_it_becomes_an_array(store, decoded):
    assert same_values(np.asarray(store), decoded)
    assert same_values(np.array(store, dtype=np.float32), decoded.astype(np.float32))
    assert same_values(np.stack(list(store)), decoded)
    with pytest.raises(ValueError, match="without a copy"):
        np.array(store, copy=False)


def test_results_are_the_callers_own(store, decoded):
    for key in (3, slice(4), [5, 6], ...):
        store[key][...] = 0
        assert same_values(store[key], decoded[key])


def test_latents(store, few, few_codec):
    assert isinstance(store.latents, zarr.Array)
    assert store.latents.read_only
    assert same_values(store.latents[:], few_codec.encode(few))
    assert same_values(store.read_latents(), few_codec.features(few))
    rows = [150, 3, 3, -1]
    assert same_values(store.read_latents(rows), few_codec.features(few)[rows])
    assert same_values(store.read_latents(slice(0, 9, 4)), few_codec.features(few)[0:9:4])


def test_read_takes_what_selects_rows(store, decoded):
    assert same_values(store.read([4, 2, 2]), decoded[[4, 2, 2]])
    assert same_values(store.read(slice(9, 2, -3)), decoded[9:2:-3])
    assert same_values(store.read(7), decoded[[7]])
    assert same_values(store.read(range(3, 9)), decoded[3:9])


def test_quality_and_sidecars(store, few, decoded, digit_labels):
    errors = decoded.astype(float) - few
    worst = np.abs(errors).max(axis=(1, 2))
    assert store.quality["max_abs_error"].dtype == np.float32
    assert (store.quality["max_abs_error"] >= worst).all()
    assert (store.quality["max_abs_error"] <= worst * 1.091).all()
    assert (store.quality["mse"] >= (errors**2).mean(axis=(1, 2))).all()
    assert sorted(store.sidecars) == ["even", "label", "name"]
    assert same_values(store.sidecars["label"], digit_labels[::25])
    assert store.sidecars["even"].dtype == bool
    assert store.sidecars["name"][:4].tolist() == ["", "seven", "zwölf", ""]


def test_large_samples_are_decoded_one_by_one(make_codec, network_runs, tmp_path):
    data = np.random.default_rng(0).integers(0, 256, (6, 1500, 1000)).astype(np.uint8)
    engine.compress(data, tmp_path / "large.zarr", make_codec(data, 2))
    network_runs.clear()
    with engine.open(tmp_path / "large.zarr", device="cpu") as large:
        assert same_values(large[::-2], np.asarray(large)[::-2])
    assert network_runs == [1] * 9


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    "read",
    [
        lambda store: store[3],
        lambda store: store[[4, 150]],
        np.asarray,
        lambda store: store.latents[:2],
        lambda store: store.read_latents([1]),
        lambda store: store.read([1], device="cpu"),
        lambda store: asyncio.run(store.read_async([1])),
    ],
    ids=["row", "rows", "all", "latents", "features", "device", "async"],
)
def test_a_closed_store_is_not_read(store_path, read, warm):
    with engine.open(store_path, device="cpu") as store:
        if warm:
            store[3]
    with pytest.raises(InvalidInput, match="was closed; open it again"):
        read(store)


@pytest.mark.parametrize(
    "rows",
    [slice(None), slice(150, 20, -3), slice(3, 5), [7, 7, 0], [], np.arange(LENGTH) % 2 == 1],
)
@pytest.mark.parametrize("block", [16, LENGTH])
def test_samples_go_where_they_are_asked_to(store, decoded, rows, block):
    store.reader.block_samples = block
    expected = decoded[rows]
    around = np.full((len(expected) + 2, *expected.shape[1:]), 9, expected.dtype)
    out = around[1:-1]
    assert store.read(rows, out=out) is out
    assert same_values(out, expected)
    assert (around[[0, -1]] == 9).all()


@pytest.mark.parametrize(
    "out",
    [
        np.empty((3, SIDE, SIDE), np.uint8),
        np.empty((2, SIDE, SIDE), np.int8),
        np.empty((SIDE, SIDE, 2), np.uint8).T,
        np.broadcast_to(np.zeros(1, np.uint8), (2, SIDE, SIDE)),
        [[0]],
    ],
    ids=["shape", "dtype", "order", "read-only", "list"],
)
def test_what_can_not_take_the_samples_is_refused(store, out):
    for rows in ([3, 5], slice(2)):
        with pytest.raises(InvalidInput, match="out must be a writable"):
            store.read(rows, out=out)
    with pytest.raises(InvalidInput, match="leave out device"):
        store.read([3, 5], device="cpu", out=out)


@pytest.mark.parametrize("size", [-1, 0.5, "64 MB", None, True])
def test_a_cache_of_no_size_is_refused(store_path, size):
    with pytest.raises(InvalidInput, match="cache_bytes must be a number of bytes"):
        engine.open(store_path, device="cpu", cache_bytes=size)


def test_many_threads_read_at_once(store, decoded):
    """Nothing is warm: the first reads race for the codec, the ledger and the indexes."""
    failures, start = [], threading.Barrier(8)

    def read(seed):
        rows = np.random.default_rng(seed).integers(0, LENGTH, (20, 7))
        start.wait()
        for asked in rows:
            if not same_values(store[asked], decoded[asked]):
                failures.append(asked)

    in_threads(read, range(8))
    assert failures == []


def test_a_store_can_be_sent_to_another_process(store):
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        decoded = pool.submit(operator.getitem, store, slice(3, 5)).result()
    assert (decoded == store[3:5]).all()


def test_a_relative_path_survives_a_change_of_folder(store, monkeypatch):
    folder = store.contents.objects.folder
    monkeypatch.chdir(folder.parent)
    with engine.open(folder.name, device="cpu") as opened:
        monkeypatch.chdir("/")
        assert (opened[3] == store[3]).all()
