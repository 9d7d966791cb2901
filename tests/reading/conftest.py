"""A store of digits in many small shards, for tests that read it."""

import numpy as np
import onnxruntime
import pytest

import engine

CHUNK_SAMPLES, SHARD_SAMPLES = 8, 32


@pytest.fixture(scope="package")
def few(digits):
    """A few digits of every kind."""
    return digits[::25]


@pytest.fixture(scope="package")
def few_codec(few, make_codec):
    return make_codec(few, 8)


@pytest.fixture(scope="package")
def store_path(few, few_codec, digit_labels, tmp_path_factory):
    """200 samples: seven shards of four chunks, the last one short. Copy it to damage it."""
    path = tmp_path_factory.mktemp("reading") / "digits.zarr"
    texts = np.array(["", "seven", "zwölf"])[np.arange(len(few)) % 3]
    sidecars = {"label": digit_labels[::25], "name": texts, "even": digit_labels[::25] % 2 == 0}
    sizes = {"chunk_samples": CHUNK_SAMPLES, "shard_samples": SHARD_SAMPLES}
    engine.compress(few, path, few_codec, sidecars=sidecars, **sizes)
    return path


@pytest.fixture
def store(store_path):
    with engine.open(store_path, device="cpu") as opened:
        yield opened


@pytest.fixture
def network_runs(monkeypatch):
    """How many samples went into each run of a network that was bound to buffers."""
    runs, run = [], onnxruntime.InferenceSession.run_with_iobinding

    def counted(session, binding, options=None):
        run(session, binding, options)
        runs.append(binding.get_outputs()[0].shape()[0])

    monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", counted)
    return runs
