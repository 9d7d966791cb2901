"""One codec serves a range of rates: the step given when a store is written, and recorded there."""

import numpy as np
import pytest

import engine

STEPS = (0.5, 1.0, 2.0, 4.0)


@pytest.fixture(scope="module")
def bumps():
    """A bump that moves: one number tells a sample, but no few directions do."""
    places = np.random.default_rng(0).uniform(4, 20, (600, 1, 1))
    waves = np.exp(-np.square(np.arange(24) - places) / 4)
    return (250 * np.repeat(waves, 2, axis=1)).astype(np.uint8)


@pytest.fixture(scope="module", params=["klt", pytest.param("transform", marks=pytest.mark.slow)])
def codec(request, bumps, tmp_path_factory):
    path = tmp_path_factory.mktemp("codec") / "a.codec"
    options = {"epochs": 20, "batch_size": 64} if request.param == "transform" else {}
    return engine.train(
        bumps, path, arch=request.param, target_psnr=30, device="cpu", seed=0, **options
    )


@pytest.fixture(scope="module")
def reports(codec, bumps, tmp_path_factory):
    """What a job reports at each step, by the path of its store."""
    folder = tmp_path_factory.mktemp("stores")
    return {
        folder / f"{step}.zarr": engine.compress(
            bumps, folder / f"{step}.zarr", codec, step=step, device="cpu"
        )
        for step in STEPS
    }


def test_a_larger_step_is_smaller_and_coarser(reports):
    sizes = [report.latent_bytes for report in reports.values()]
    qualities = [report.psnr_db for report in reports.values()]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(STEPS)
    assert qualities == sorted(qualities, reverse=True) and len(set(qualities)) == len(STEPS)
    assert sizes[0] > 1.5 * sizes[-1]
    assert qualities[0] > qualities[-1] + 6


def test_half_the_step_saturates_nothing(reports):
    for report in reports.values():
        assert report.saturated_fraction == 0
        assert "saturated" not in (report.advice or "")


def test_the_store_has_the_step_and_decodes_by_it(reports, codec, bumps):
    for (path, report), step in zip(reports.items(), STEPS, strict=True):
        with engine.open(path, device="cpu") as store:
            assert store.step == report.step == step
            latents = codec.encode(bumps, step)
            np.testing.assert_array_equal(store.latents[:], latents)
            np.testing.assert_array_equal(store[:], codec.decode(latents, step))


def test_a_step_that_saturates_gives_advice(bumps, make_codec, tmp_path):
    report = engine.compress(bumps, tmp_path / "s.zarr", make_codec(bumps, 8), step=0.4)
    latents = np.asarray(engine.open(tmp_path / "s.zarr").latents[:])
    assert report.saturated_fraction == (np.abs(latents) == 127).mean() > 0
    assert f"{report.saturated_fraction:.2%} of the latents are saturated at" in report.advice
    assert "step 0.4: pass a larger one (--step)" in report.advice
