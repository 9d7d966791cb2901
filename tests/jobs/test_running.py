"""How a job runs its codec: cheaper encoders are named, kept to, and made again; sizes measured."""

import numpy as np
import pytest

import engine
from engine import IncompatibleStore, InvalidInput
from engine.jobs import running
from engine.jobs.fingerprint import identify_all
from engine.jobs.running import prepare, recorded_encoder
from engine.jobs.survey import Survey
from engine.runtime import tuning
from engine.runtime.device import available_cores
from engine.runtime.tuning import known_tuning, tune
from engine.sources import open_source
from engine.store.objects import LocalObjects

from ..laws import assert_same_tree

PLAIN = Survey(0.0, 255.0, 0, ())


def prepared(codec, data, **options):
    with open_source(data) as source:
        wanted = {"step": 1.0, "encoder": "auto", "recorded": None}
        wanted |= {"batch": None, "threads": None}
        return prepare(codec, source, PLAIN, **wanted | options)


@pytest.fixture
def long_jobs(monkeypatch):
    """Every job of more than a batch is long enough to measure how to run it."""
    monkeypatch.setattr(running, "_WORTH_CHOOSING_S", 0.0)
    monkeypatch.setattr(running, "_WORTH_TUNING_S", 0.0)


def compress(data, path, codec, **options):
    return engine.compress(data, path, codec, device="cpu", **options)


def test_a_short_job_measures_nothing(digits, digits_codec):
    found = prepared(digits_codec.on("cpu"), digits)
    assert found.encoder == {"name": "float32"}
    assert found.workers == available_cores()
    assert known_tuning(found.codec) is None


def test_a_long_job_is_tuned_once(digits, make_codec, long_jobs):
    codec = make_codec(digits, 5).on("cpu")
    found = prepared(codec, digits, encoder="float32")
    known = known_tuning(codec)
    assert (found.batch, found.workers) == (known.batch_samples, known.callers)


@pytest.mark.parametrize("options", [{"batch": 17}, {"threads": 3}, {"batch": 17, "threads": 3}])
def test_what_is_asked_for_overrules_what_was_measured(digits, digits_codec, options):
    codec = digits_codec.on("cpu")
    tune(codec)
    found = prepared(codec, digits, encoder="float32", **options)
    assert options.items() <= {"batch": found.batch, "threads": found.workers}.items()


def test_an_int8_encoder_makes_other_latents_and_loses_hardly_anything(
    digits, digits_codec, tmp_path
):
    exact = compress(digits, tmp_path / "exact.zarr", digits_codec, encoder="float32")
    cheap = compress(digits, tmp_path / "cheap.zarr", digits_codec, encoder="int8")
    assert (exact.encoder, cheap.encoder) == ("float32", "int8")
    assert exact.psnr_db - cheap.psnr_db < 0.05
    with engine.open(tmp_path / "cheap.zarr") as store:
        latents = store.latents[...]
        assert store.contents.head.fingerprint["encoder"].keys() == {"name", "sha256"}
        assert (np.asarray(store) == digits_codec.decode(latents)).all()
    assert (latents != digits_codec.encode(digits)).any()
    assert engine.verify(tmp_path / "cheap.zarr", against=digits).ok


def test_a_guarantee_holds_with_an_int8_encoder(digits, digits_codec, tmp_path):
    compress(digits[:600], tmp_path / "it.zarr", digits_codec, encoder="int8", max_error=20)
    with engine.open(tmp_path / "it.zarr") as store:
        assert np.abs(np.asarray(store).astype(int) - digits[:600]).max() <= 20


def test_a_job_that_goes_on_stays_with_the_encoder_that_began_it(
    digits, digits_codec, tmp_path, long_jobs
):
    whole, broken = tmp_path / "whole.zarr", tmp_path / "broken.zarr"
    options = {"encoder": "int8", "shard_samples": 1024}
    compress(digits, whole, digits_codec, **options)

    def stop(done, total):
        if done > 2000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress(digits, broken, digits_codec, progress=stop, **options)
    report = compress(digits, broken, digits_codec, shard_samples=1024)  # auto
    assert report.encoder == "int8"
    assert_same_tree(whole, broken)


def test_repair_makes_the_same_latents(digits, digits_codec, tmp_path):
    store, kept = tmp_path / "it.zarr", tmp_path / "kept.zarr"
    for path in (store, kept):
        compress(digits[:500], path, digits_codec, encoder="int8")
    next(store.glob("data/part-0/latents/c/*/*")).unlink()
    assert engine.repair(store, digits[:500]).identical
    assert_same_tree(store, kept)


def test_another_machine_s_encoder_is_not_gone_on_with(digits, digits_codec):
    recorded = {"name": "int8", "sha256": "0" * 64}
    with pytest.raises(IncompatibleStore, match="another int8 encoder"):
        prepared(digits_codec.on("cpu"), digits, recorded=recorded)


@pytest.mark.parametrize("name", ["int4", "", None])
def test_an_unknown_encoder_is_refused(digits, digits_codec, name):
    with pytest.raises(InvalidInput, match="encoder must be"):
        prepared(digits_codec.on("cpu"), digits, encoder=name)


def test_only_a_store_records_an_encoder(digits, digits_codec, tmp_path):
    with open_source(digits[:9]) as source:
        identity = identify_all(source, {})
    nothing, store = (LocalObjects(tmp_path / name) for name in ("nothing.zarr", "it.zarr"))
    assert recorded_encoder(nothing, digits_codec, identity) is None
    compress(digits[:9], tmp_path / "it.zarr", digits_codec)
    assert recorded_encoder(store, digits_codec, identity) == {"name": "float32"}
    assert recorded_encoder(store, digits_codec, {"data": {}}) is None


def test_repair_of_metadata_needs_no_encoder(digits, digits_codec, tmp_path):
    options = {"max_error": 20, "keep_encoder": False}
    compress(digits, tmp_path / "it.zarr", digits_codec, **options)
    damaged = tmp_path / "it.zarr/data/part-0/zarr.json"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-2])
    assert engine.repair(tmp_path / "it.zarr", digits).identical
    assert damaged.read_bytes() == content


def test_equal_jobs_write_equal_stores_however_they_are_run(
    digits, digits_codec, tmp_path, long_jobs, monkeypatch
):
    compress(digits, tmp_path / "one.zarr", digits_codec, encoder="float32")
    monkeypatch.setattr(tuning, "BUDGET_S", 0.0)
    options = {"encoder": "float32", "batch": 100, "threads": 1}
    compress(digits, tmp_path / "other.zarr", digits_codec, **options)
    assert_same_tree(tmp_path / "one.zarr", tmp_path / "other.zarr")
