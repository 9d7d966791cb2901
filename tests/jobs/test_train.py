"""`engine.train`, from data to a saved codec: what it writes, resumes, checks and refuses."""

import dataclasses
import functools

import numpy as np
import pytest

import engine
from engine import GuaranteeViolated, InvalidInput
from engine.jobs.agreement import check_agreement
from engine.jobs.train import LEARNING_CURVE, default_latent_dim
from engine.sources import open_source
from engine.training import fit


@pytest.fixture(scope="module")
def data(digits):
    return digits[::20]


def train(data, path, **options):
    return engine.train(data, path, arch="dense", latent_dim=8, epochs=2, device="cpu", **options)


def test_the_codec_that_is_returned_is_the_one_on_the_disk(data, tmp_path):
    codec = train(data, tmp_path / "a.codec")
    loaded = engine.Codec.load(tmp_path / "a.codec", device="cpu")
    assert loaded.digest == codec.digest
    assert (loaded.encode(data) == codec.encode(data)).all()
    assert loaded.files.contents[LEARNING_CURVE].startswith(b"\x89PNG")
    assert len(loaded.manifest.training["history"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.codec"]


def test_equal_runs_make_equal_codecs(data, tmp_path):
    digests = {train(data, tmp_path / f"{n}.codec").digest for n in range(2)}
    assert len(digests) == 1


def test_interrupted_it_goes_on_to_the_same_codec(data, tmp_path):
    whole = train(data, tmp_path / "whole.codec")

    def interrupt(state):
        if state.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "cut.codec", progress=interrupt)
    assert not (tmp_path / "cut.codec").exists()
    seen = []
    codec = train(data, tmp_path / "cut.codec", progress=lambda state: seen.append(state.epoch))
    assert set(seen) == {2}
    assert codec.digest == whole.digest
    assert not (tmp_path / "cut.codec.training").exists()


def test_a_codec_is_only_replaced_when_asked(data, tmp_path):
    train(data, tmp_path / "a.codec")
    with pytest.raises(InvalidInput, match="--overwrite"):
        train(data, tmp_path / "a.codec")
    assert train(data, tmp_path / "a.codec", seed=1, overwrite=True).manifest.training


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_every_dtype_and_width(data, dtype, bits, tmp_path):
    samples = data.astype(dtype)
    codec = train(samples, tmp_path / "a.codec", bits=bits)
    assert codec.encode(samples).dtype == f"int{bits}"
    assert codec.decode(codec.encode(samples)).dtype == dtype


def test_nan_is_named(data, tmp_path):
    samples = data.astype("float32")
    samples[17, 3, 4] = np.nan
    with pytest.raises(InvalidInput, match=r"sample 17 .*\(17, 3, 4\)"):
        train(samples, tmp_path / "a.codec")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_an_export_that_differs_from_torch_is_refused(data, part, tmp_path):
    codec = train(data, tmp_path / "a.codec", weights="float32")
    sample = codec.manifest.sample
    with open_source(data) as source:
        fit_dense = functools.partial(
            fit,
            source,
            network_shape=sample.network_shape,
            to_network=sample.to_network,
            arch="dense",
            latent_dim=8,
            epochs=2,
            device="cpu",
        )
        trained = fit_dense()
        check_agreement(trained, codec.files, source)
        other = fit_dense(seed=1)
        wrong = dataclasses.replace(trained, **{part: getattr(other, part)})
        with pytest.raises(GuaranteeViolated, match=f"exported {part} differs from torch"):
            check_agreement(wrong, codec.files, source)


def test_the_default_number_of_latents_follows_the_bytes_of_a_sample(digits_codec):
    assert default_latent_dim(digits_codec.manifest.sample) == 784 // 24


@pytest.mark.parametrize("option", ["epochs", "batch_size", "patience"])
def test_none_at_all_is_no_count(option, data, tmp_path):
    with pytest.raises(InvalidInput, match=f"{option} must be at least 1, got 0"):
        engine.train(data, tmp_path / "it.codec", **{option: 0})


def test_no_bits_are_no_width(data, tmp_path):
    with pytest.raises(InvalidInput, match="bits"):
        engine.train(data, tmp_path / "it.codec", bits=0)


@pytest.mark.parametrize("arch", ["dense", "klt"])
def test_values_whose_errors_have_no_squares_are_refused_before_training(arch, tmp_path):
    samples = np.random.default_rng(0).normal(size=(40, 6)) * 1e300
    with pytest.raises(InvalidInput, match="can't be squared"):
        engine.train(samples, tmp_path / "codec", arch=arch, device="cpu")
