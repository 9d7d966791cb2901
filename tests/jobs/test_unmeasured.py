"""Stores without quality: nothing is decoded while they are written, and they say so."""

import math

import numpy as np
import pytest

import engine
from engine import InvalidInput
from engine.codec.files import DECODER
from engine.runtime.session import BoundRun


@pytest.fixture
def store(digits, digits_codec, tmp_path):
    path = tmp_path / "it.zarr"
    engine.compress(digits, path, digits_codec, quality=False, device="cpu")
    return path


def test_the_samples_are_those_of_a_measured_store(store, digits, digits_codec):
    with engine.open(store) as opened:
        np.testing.assert_array_equal(np.asarray(opened), digits_codec.decode(opened.latents[...]))
        np.testing.assert_array_equal(opened.latents[...], digits_codec.encode(digits))
        assert not (store / "data/part-0/quality").exists()


def test_nothing_is_decoded(digits, digits_codec, tmp_path, monkeypatch):
    decoded = []
    run = BoundRun.__call__

    def counted(self, batch, out):
        if batch.dtype == digits_codec.manifest.latent.dtype:
            decoded.append(len(batch))
        run(self, batch, out)

    monkeypatch.setattr(BoundRun, "__call__", counted)
    codec = digits_codec.on("cpu")
    engine.compress(digits, tmp_path / "bare.zarr", codec, quality=False)
    assert decoded == []
    engine.compress(digits, tmp_path / "measured.zarr", codec)
    assert sum(decoded) == len(digits) + 1  # one warms up
    assert DECODER in {entry.role for entry in codec.manifest.files}


def test_its_errors_are_unknown(store):
    with engine.open(store) as opened:
        summary = opened.summary
        assert math.isnan(summary.psnr_db) and math.isnan(summary.max_abs_error)
        with pytest.raises(InvalidInput, match="quality"):
            opened.quality  # noqa: B018


def test_it_verifies(store, digits):
    found = engine.verify(store, against=digits)
    assert found.ok and found.samples_compared == len(digits)
    assert not engine.verify(store, against=digits ^ 1).ok


def test_it_is_repaired(store, digits):
    latents = next(store.glob("data/part-0/latents/c/0/*"))
    content = latents.read_bytes()
    latents.write_bytes(content[:-1] + b"!")
    assert engine.repair(store, digits).identical
    assert latents.read_bytes() == content


def test_another_job_with_quality_does_not_go_on_with_it(store, digits, digits_codec):
    with pytest.raises(engine.IncompatibleStore, match="quality"):
        engine.compress(digits, store, digits_codec, device="cpu")


@pytest.mark.parametrize("promise", [{"max_error": 3}, {"lossless": True}, {"min_psnr": 30}])
def test_a_guarantee_needs_quality(digits, digits_codec, tmp_path, promise):
    with pytest.raises(InvalidInput, match="no-quality"):
        engine.compress(digits, tmp_path / "it.zarr", digits_codec, quality=False, **promise)
    assert not (tmp_path / "it.zarr").exists()
