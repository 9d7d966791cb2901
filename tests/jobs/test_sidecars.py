"""Arrays carried along: what goes in comes out, in dtype and value."""

import numpy as np
import pytest

import engine
from engine.errors import InvalidInput

from ..laws import same_values

SAMPLES = 21
SIZES = {"chunk_samples": 2, "shard_samples": 8}
TEXTS = np.array(["", "naïve", "日本語", "🙂", "a b\nc", "x" * 30, "\x00mid\x00dle"])


@pytest.fixture(scope="module")
def data():
    return np.random.default_rng(0).integers(0, 256, (SAMPLES, 5)).astype(np.uint8)


@pytest.fixture(scope="module")
def codec(data, make_codec):
    return make_codec(data, 2)


def carried(sidecars, data, codec, folder):
    engine.compress(data, folder / "store.zarr", codec, sidecars=sidecars, **SIZES)
    return engine.open(folder / "store.zarr", device="cpu").sidecars


def tiled(values):
    return np.resize(values, (SAMPLES, *np.shape(values)[1:]))


@pytest.mark.parametrize(
    "values",
    [
        np.arange(SAMPLES),
        np.arange(SAMPLES, dtype=np.uint8),
        np.arange(SAMPLES) % 3 == 0,
        tiled(np.array([np.nan, -0.0, np.inf, 1e-310])),
        np.linspace(0, 1, SAMPLES * 6).reshape(SAMPLES, 2, 3).astype(np.float16),
        tiled(TEXTS),
        tiled(TEXTS[:1]),
        tiled(np.stack([TEXTS, TEXTS[::-1]], axis=1)),
        tiled(np.array([b"", b"abc", b"\xff\xfe"])),
    ],
    ids=[
        "int64", "uint8", "bool", "nan", "float16", "text", "empty-text", "text-rows", "bytes"
    ],
)  # fmt: skip
def test_round_trip(values, data, codec, tmp_path):
    found = carried({"x": values}, data, codec, tmp_path)["x"]
    if values.dtype.kind in "US":
        assert (found.dtype.kind, found.tolist()) == (values.dtype.kind, values.tolist())
    else:
        assert same_values(found, values)


def test_big_endian_and_strided_arrays(data, codec, tmp_path):
    values = np.arange(2 * SAMPLES, dtype=">i4")[::2]
    found = carried({"x": values}, data, codec, tmp_path)["x"]
    assert same_values(found, values.astype(np.int32))


def test_names_of_files_and_given_names(data, codec, tmp_path):
    np.save(tmp_path / "labels.v2.npy", np.arange(SAMPLES))
    np.savez(tmp_path / "all.npz", a=np.zeros(3), b=np.ones(SAMPLES))
    paths = [tmp_path / "labels.v2.npy", f"weight={tmp_path / 'all.npz'}::b"]
    found = carried(paths, data, codec, tmp_path)
    assert sorted(found) == ["labels", "weight"]
    assert found["labels"].tolist() == list(range(SAMPLES))
    assert found["weight"].tolist() == [1.0] * SAMPLES


def test_a_path_with_an_equals_sign_is_a_path(data, codec, tmp_path):
    (tmp_path / "run=3").mkdir()
    np.save(tmp_path / "run=3/labels.npy", np.arange(SAMPLES))
    assert list(carried([tmp_path / "run=3/labels.npy"], data, codec, tmp_path)) == ["labels"]


@pytest.mark.parametrize("nothing", [None, [], {}])
def test_nothing_is_carried(nothing, data, codec, tmp_path):
    assert carried(nothing, data, codec, tmp_path) == {}


@pytest.mark.parametrize(
    ("sidecars", "problem"),
    [
        ({"x": np.arange(20)}, "sidecar 'x' has 20 rows, the data has 21"),
        ({"x": np.arange(SAMPLES).astype(object)}, "found dtype object"),
        ({"x": np.arange(SAMPLES).astype("M8[s]")}, "datetime64"),
        ({"": np.arange(SAMPLES)}, "sidecar name ''"),
        ({"a/b": np.arange(SAMPLES)}, "sidecar name 'a/b'"),
        ({"..": np.arange(SAMPLES)}, "sidecar name"),
        ({"__x": np.arange(SAMPLES)}, "sidecar name"),
        (np.arange(SAMPLES), "mapping of names to arrays, or a list of paths"),
        ([np.arange(SAMPLES)], "mapping of names to arrays, or a list of paths"),
        ("labels.npy", "mapping of names to arrays, or a list of paths"),
        (["a/x.npy", "b/x.npz"], "two sidecars are called 'x'"),
        (["nowhere.npy"], "nowhere.npy: expected a file"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value)[:30],
)
def test_what_can_not_be_carried(sidecars, problem, data, codec, tmp_path):
    with pytest.raises(InvalidInput, match=problem):
        engine.compress(data, tmp_path / "store.zarr", codec, sidecars=sidecars, **SIZES)
    assert not (tmp_path / "store.zarr").exists()
