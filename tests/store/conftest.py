"""A small store with every kind of array that a store can have."""

import numpy as np
import pytest

import engine

TEXTS = ["", "zero", "übermäßig", "日本語", "a b\nc", "🙂"]


@pytest.fixture(scope="package")
def small_data():
    """Correlated int16 samples `(37, 4, 3)`, and what is carried along with them."""
    rng = np.random.default_rng(5)
    waves = rng.normal(size=(37, 3)) @ rng.normal(size=(3, 12))
    sidecars = {
        "label": rng.integers(-5, 5, 37),
        "text": np.array([TEXTS[row % len(TEXTS)] for row in range(37)]),
        "raw": np.array([b"\xff\xfe", b"ab", b""] * 12 + [b"c"]),
        "flag": rng.random(37) > 0.5,
        "place": np.where(rng.random((37, 2)) > 0.9, np.nan, rng.random((37, 2))),
    }
    return (100 * waves).astype(np.int16).reshape(37, 4, 3), sidecars


@pytest.fixture(scope="package")
def small_store(small_data, make_codec, tmp_path_factory):
    """Its store: five shards of eight samples, the last one short. Copy it to damage it."""
    data, sidecars = small_data
    path = tmp_path_factory.mktemp("small") / "small.zarr"
    codec = make_codec(data, 3)
    engine.compress(data, path, codec, sidecars=sidecars, chunk_samples=4, shard_samples=8)
    return path
