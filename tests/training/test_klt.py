"""The linear codec: an orthonormal basis, one step, as many channels as carry rate."""

import math

import numpy as np
import pytest

from engine.codec.sample_format import SampleFormat
from engine.entropy import entropy_bits
from engine.errors import InvalidInput
from engine.quality import peak_value, psnr_db
from engine.sources import open_source
from engine.training import (
    choose_target,
    fit_klt,
    principal_directions,
    torch_latents,
    torch_reconstruction,
)


def images(count=600, shape=(9, 8), dtype="uint8", seed=0):
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(0, 2, size) for size in shape), indexing="ij")
    phases = rng.uniform(0, 3, (count, len(shape), *[1] * len(shape)))
    waves = sum(np.sin(axis + phases[:, i]) for i, axis in enumerate(axes)) / len(shape)
    return ((1 + waves) * 120 + rng.normal(0, 2, waves.shape)).clip(0, 255).astype(dtype)


def sample_of(samples, network_shape=None):
    shape = network_shape or (1, *samples.shape[1:])
    known = samples.dtype == np.uint8
    data_range = (0.0, 255.0) if known else (float(samples.min()), float(samples.max()))
    return SampleFormat(samples.shape[1:], samples.dtype, shape, data_range)


def fitted(samples, *, network_shape=None, most_channels=None, progress=None, **target):
    given = dict.fromkeys(("target_psnr", "target_bytes", "rate_lambda")) | target
    sample = sample_of(samples, network_shape)
    trained = fit_klt(
        open_source(samples),
        sample,
        choose_target(**given),
        most_channels=most_channels,
        progress=progress,
    )
    return trained, sample


def quantised(trained, sample, samples):
    """Integers `(n, channels)`, and what they decode to: neither bounded nor rounded."""
    step = np.float32(trained.rate.step)
    integers = np.rint(torch_latents(trained.encoder, sample.to_network(samples)) / step)
    decoded = torch_reconstruction(trained.decoder, integers * step)
    return integers, decoded.reshape(samples.shape) * sample.scale + sample.offset


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float16", "float32", "float64"])
def test_a_quality_is_met_on_held_out_samples(dtype):
    # Of uint16 the peak is that of the dtype.
    samples = images(dtype=dtype) * np.array(257 if dtype == "uint16" else 1, dtype)
    trained, sample = fitted(samples, target_psnr=28)
    held_out = samples[trained.validation_rows]
    _, decoded = quantised(trained, sample, held_out)
    if samples.dtype.kind != "f":
        decoded = np.rint(decoded).clip(0, np.iinfo(dtype).max)
    error = np.mean(np.square(decoded - held_out.astype(float)))
    found = psnr_db(error, peak_value(dtype, *sample.data_range))
    assert found == pytest.approx(trained.rate.psnr_db, abs=0.02)
    assert 28 <= trained.rate.psnr_db < 28.2


def test_a_size_is_met_on_held_out_samples():
    samples = images()
    trained, sample = fitted(samples, target_bytes=2.5)
    integers, _ = quantised(trained, sample, samples[trained.validation_rows])
    bits = entropy_bits(integers).sum()
    assert bits == pytest.approx(trained.rate.bits_per_sample)
    assert 2.3 < bits / 8 <= 2.5


def test_the_basis_is_orthonormal_and_centred_on_the_mean():
    samples = images()
    trained, sample = fitted(samples, target_psnr=35)
    weights = trained.encoder[1].weight.detach().numpy()
    np.testing.assert_allclose(weights @ weights.T, np.eye(len(weights)), atol=1e-5)
    np.testing.assert_array_equal(trained.decoder[0].weight.detach().numpy(), weights.T)
    training = np.delete(samples, trained.validation_rows, axis=0)
    latents = torch_latents(trained.encoder, sample.to_network(training))
    np.testing.assert_allclose(latents.mean(axis=0), 0, atol=1e-4)
    variances = latents.var(axis=0)
    assert (np.diff(variances) <= 1e-6).all()


def test_channels_without_rate_are_left_out():
    samples = images()
    coarse, fine = (fitted(samples, rate_lambda=price)[0].rate for price in (0.05, 0.0005))
    assert coarse.channels < fine.channels < 72
    assert fitted(samples, rate_lambda=0.0005, most_channels=3)[0].rate.channels == 3


def test_no_other_number_of_channels_is_clearly_better():
    samples = images()
    price = 0.001
    best = fitted(samples, rate_lambda=price)[0].rate
    fewer = fitted(samples, rate_lambda=price, most_channels=best.channels // 2)[0].rate
    scale = 72 * 10 ** (-np.array([best.psnr_db, fewer.psnr_db]) / 10)
    costs = scale + price * np.array([best.bits_per_sample, fewer.bits_per_sample])
    assert costs[0] < costs[1]


@pytest.mark.parametrize(
    ("shape", "network_shape"),
    [((40,), (40,)), ((4, 5, 6), (1, 4, 5, 6)), ((6, 5, 3), (6, 5, 3)), ((1,), (1,))],
)
def test_vectors_volumes_and_channels(shape, network_shape):
    samples = images(300, shape, "float32")
    trained, sample = fitted(samples, network_shape=network_shape, target_psnr=32)
    integers, decoded = quantised(trained, sample, samples)
    assert integers.shape == (300, trained.rate.channels)
    assert decoded.shape == samples.shape
    assert trained.rate.psnr_db >= 32


def test_wide_samples_are_sketched(monkeypatch):
    monkeypatch.setattr(principal_directions, "EXACT_ELEMENTS", 100)
    monkeypatch.setattr(principal_directions, "SKETCHED_DIRECTIONS", 8)
    samples = images(300, (15, 12), "float32")
    reports = []
    trained, _ = fitted(samples, target_psnr=28, progress=reports.append)
    assert trained.rate.psnr_db >= 28
    assert trained.rate.channels <= 8
    assert [one.epoch for one in reports] == [1, 2]
    with pytest.raises(InvalidInput, match="target_psnr 150 dB is out of reach"):
        fitted(samples, target_psnr=150)


@pytest.mark.parametrize("samples", [images(1), np.full((20, 5, 4), 7, np.float32)])
def test_one_sample_and_constant_data(samples):
    trained, sample = fitted(samples, target_bytes=3)
    integers, decoded = quantised(trained, sample, samples)
    np.testing.assert_array_equal(integers, 0)
    np.testing.assert_allclose(decoded, samples, atol=1e-3)
    assert (trained.rate.channels, trained.rate.bits_per_sample) == (1, 0)


def test_equal_runs_give_equal_codecs(weights_of):
    first, again = (fitted(images(), target_psnr=30)[0] for _ in range(2))
    np.testing.assert_array_equal(weights_of(first), weights_of(again))
    assert first.record() == again.record()


def test_the_record_says_what_was_asked_and_reached():
    record = fitted(images(), target_psnr=30, most_channels=9)[0].record()
    assert record["options"]["architecture_options"] == {"target_psnr": 30}
    assert (record["options"]["architecture"], record["options"]["latent_dim"]) == ("klt", 9)
    assert record["rate"]["channels"] <= 9
    assert record["rate"]["psnr_db"] >= 30
    assert (record["training_samples"], record["validation_samples"]) == (540, 60)


def test_progress_counts_the_batches(monkeypatch):
    monkeypatch.setattr("engine.training.klt._BATCH_BYTES", 72 * 8 * 100)
    reports = []
    samples = images()
    trained, sample = fitted(samples, target_psnr=30, progress=reports.append)
    assert [(one.step, one.steps) for one in reports] == [(n, 6) for n in range(1, 7)]
    values = np.delete(sample.to_network(samples), trained.validation_rows, axis=0)
    mean = np.mean([one.train_loss for one in reports])
    assert mean == pytest.approx(values.var(axis=0).mean(), rel=0.1)
    assert math.isfinite(reports[0].train_loss)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(InvalidInput, match="latent_dim must be at least 1, got 0"):
        fitted(images(20), most_channels=0, target_psnr=30)
    samples = images(20)
    with pytest.raises(InvalidInput, match="seed must be at least 0, got -1"):
        fit_klt(open_source(samples), sample_of(samples), choose_target(30, None, None), seed=-1)


def test_by_cosine_inner_products_suffer_less_at_the_same_size():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2000, 32)) * np.geomspace(4, 0.2, 32) @ _rotation(rng, 32)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ends = float(vectors.min()), float(vectors.max())
    sample = SampleFormat((32,), vectors.dtype, (32,), ends)
    off = {}
    for metric in ("error", "cosine"):
        target = choose_target(target_bytes=6)
        trained = fit_klt(open_source(vectors), sample, target, metric=metric)
        _, decoded = quantised(trained, sample, vectors)
        off[metric] = np.square(vectors @ (decoded - vectors).T).mean()
    assert off["cosine"] < 0.9 * off["error"]


def _rotation(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size))).Q
