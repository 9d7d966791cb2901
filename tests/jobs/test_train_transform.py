"""`engine.train(arch="transform")`: trained, exported, and checked like every other codec."""

import numpy as np
import pytest

import engine
from engine.jobs.train import LEARNING_CURVE


@pytest.fixture(scope="module")
def bumps():
    """A bump that moves: one number tells a sample, but no few directions do."""
    places = np.random.default_rng(0).uniform(4, 20, (800, 1, 1))
    waves = np.exp(-np.square(np.arange(24) - places) / 4)
    return (250 * np.repeat(waves, 2, axis=1)).astype(np.uint8)


@pytest.fixture(scope="module")
def codec(bumps, tmp_path_factory):
    return engine.train(
        bumps,
        tmp_path_factory.mktemp("transform") / "a.codec",
        arch="transform",
        target_psnr=24,
        epochs=30,
        batch_size=64,
        device="cpu",
    )


def test_the_codec_meets_its_target(codec, bumps):
    decoded = codec.decode(codec.encode(bumps)).astype(float)
    psnr = 20 * np.log10(255) - 10 * np.log10(np.mean((decoded - bumps) ** 2))
    assert psnr == pytest.approx(24, abs=0.7)


def test_all_channels_have_one_step(codec):
    latent, training = codec.manifest.latent, codec.manifest.training
    assert training["options"]["architecture"] == "transform"
    assert set(latent.scale) == {training["rate"]["step"]}
    assert set(latent.offset) == {0.0}
    assert codec.manifest.calibration["saturated"] == 0


def test_it_is_certified_and_shows_how_it_learnt(codec):
    assert "certificate" in {entry.role for entry in codec.manifest.files}
    assert codec.files.contents[LEARNING_CURVE].startswith(b"\x89PNG")


def test_it_compresses_within_a_bound(codec, bumps, tmp_path):
    report = engine.compress(bumps, tmp_path / "bounded.zarr", codec, max_error=9)
    assert report.max_abs_error <= 9


def test_it_resumes_to_the_same_codec(bumps, tmp_path):
    options = {"arch": "transform", "target_psnr": 24, "epochs": 3, "device": "cpu"}
    whole = engine.train(bumps, tmp_path / "whole.codec", **options)

    def interrupt(state):
        if state.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.train(bumps, tmp_path / "cut.codec", progress=interrupt, **options)
    assert (tmp_path / "cut.codec.training").exists()
    assert engine.train(bumps, tmp_path / "cut.codec", **options).digest == whole.digest
