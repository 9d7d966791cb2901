"""`engine.train(arch="conv-transform")`: images of a size that no block divides, and signals."""

import numpy as np
import pytest

import engine
from engine.jobs.train import LEARNING_CURVE

OPTIONS = {"arch": "conv-transform", "target_psnr": 22, "device": "cpu"}


def discs(count, seed=0):
    """A disc in each of six fields, uint8 `(count, 40, 27)`: it has two numbers, its pixels 200."""
    rows, columns = np.mgrid[:14, :14] - 6.5
    centres = np.random.default_rng(seed).uniform(-3, 3, (2, count, 3, 2, 1, 1))
    distance = np.hypot(rows - centres[0], columns - centres[1])
    fields = 210 / (1 + np.exp(2 * (distance - 4)))
    whole = fields.swapaxes(2, 3).reshape(count, 42, 28)
    return np.rint(whole[:, :40, :27]).astype(np.uint8)


def psnr_db(codec, samples):
    decoded = codec.decode(codec.encode(samples)).astype(float)
    return 20 * np.log10(255) - 10 * np.log10(np.mean((decoded - samples) ** 2))


@pytest.fixture(scope="module")
def noise():
    """Nothing to learn, and too few samples to find directions of whole ones."""
    walks = np.random.default_rng(0).normal(0, 12, (60, 40, 27)).cumsum(axis=1)
    return np.clip(127 + walks - walks.mean(axis=1, keepdims=True), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def codec(noise, tmp_path_factory):
    path = tmp_path_factory.mktemp("conv-transform") / "a.codec"
    return engine.train(noise, path, epochs=1, **OPTIONS)


def test_the_codec_of_blocks_is_kept_where_there_is_nothing_to_learn(codec, noise):
    training, latent = codec.manifest.training, codec.manifest.latent
    assert training["options"]["architecture"] == "block-klt"
    assert training["options"]["better_than"] == "conv-transform"
    assert codec.latent_shape == (training["rate"]["channels"], 3, 2)
    assert set(latent.scale) == {training["rate"]["step"]}
    assert 21 < psnr_db(codec, noise) < 25


def test_it_is_certified_and_shows_how_it_learnt(codec):
    assert "certificate" in {entry.role for entry in codec.manifest.files}
    assert codec.files.contents[LEARNING_CURVE].startswith(b"\x89PNG")


def test_it_compresses_within_a_bound(codec, noise, tmp_path):
    report = engine.compress(noise, tmp_path / "bounded.zarr", codec, max_error=9)
    assert report.max_abs_error <= 9


@pytest.mark.slow
def test_a_vector_is_a_signal_of_one_channel(tmp_path):
    phase = np.random.default_rng(0).uniform(0, 6, (90, 1))
    signals = np.sin(np.arange(100) / 9 + phase).astype(np.float32)
    codec = engine.train(signals, tmp_path / "a.codec", epochs=1, **OPTIONS)
    assert codec.sample_shape == (100,)
    assert codec.decode(codec.encode(signals)).shape == signals.shape


@pytest.mark.slow
def test_what_beats_both_linear_codecs_is_exported_certified_and_kept_within_a_bound(tmp_path):
    codec = engine.train(discs(600), tmp_path / "a.codec", epochs=60, batch_size=32, **OPTIONS)
    assert codec.manifest.training["options"]["architecture"] == "conv-transform"
    assert "certificate" in {entry.role for entry in codec.manifest.files}
    unseen = discs(100, seed=1)
    assert psnr_db(codec, unseen) == pytest.approx(22, abs=1)
    report = engine.compress(unseen, tmp_path / "bounded.zarr", codec, max_error=9)
    assert report.max_abs_error <= 9
