"""The transform: it starts at the linear codec, ends better than it or gives way to it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.codec.sample_format import SampleFormat
from engine.errors import InvalidInput
from engine.sources import open_source
from engine.training import (
    TRANSFORM_KINDS,
    choose_target,
    fit_klt,
    fit_transform,
    torch_latents,
)
from engine.training.architectures.transform import Transform
from engine.training.batches import split_rows
from engine.training.distortion import mean_squared_error
from engine.training.klt import fit_linear
from engine.training.rate import RatePoint


def bumps(count=800, size=24, seed=0):
    """A bump that moves: one number tells a sample, but no few directions do."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(4, size - 4, (count, 1))
    waves = np.exp(-np.square(np.arange(size) - places) / 4)
    return (250 * waves).astype(np.uint8)


def sample_of(samples):
    shape = samples.shape[1:]
    return SampleFormat(shape, samples.dtype, shape, (0.0, 255.0))


def fitted(samples, target_psnr=24.0, **options):
    target = choose_target(target_psnr, None, None)
    return fit_transform(open_source(samples), sample_of(samples), target, device="cpu", **options)


@pytest.fixture(scope="module")
def linear():
    samples = bumps()
    source = open_source(samples)
    return fit_linear(source, sample_of(samples), split_rows(source, 0.1, 0))


@pytest.fixture
def model(linear):
    torch.manual_seed(0)
    return Transform(linear.modules(6), torch.from_numpy(linear.deviations(6)), 0.3, 0.01, units=32)


def test_it_starts_at_the_linear_codec(linear, model):
    rows = torch.from_numpy(sample_of(bumps()).to_network(bumps(50, seed=1)))
    (centred, forward), (back, unflatten) = linear.modules(6)
    with torch.no_grad():
        latents, expected = model.encoder(rows), forward(centred(rows))
        torch.testing.assert_close(latents, expected, atol=0.02, rtol=0)
        decoded, plain = model.decoder(expected), unflatten(back(expected))
        torch.testing.assert_close(decoded, plain, atol=0.02, rtol=0)


def test_its_loss_is_squared_error_and_the_price_of_integers(model):
    rows = torch.from_numpy(sample_of(bumps()).to_network(bumps(50, seed=1)))
    model.eval()
    with torch.no_grad():
        integers = torch.round(model.encoder(rows) / 0.3)
        error = (model.decoder(integers * 0.3) - rows).square().sum(1).mean()
        expected = error + 0.01 * model.prior.bits(integers).mean()
        found = [model.validation_loss(rows, mean_squared_error) for _ in range(2)]
        assert found[0] == found[1] == pytest.approx(expected.item(), rel=1e-5)
        model.train()
        noisy = {model.training_loss(rows, mean_squared_error).item() for _ in range(2)}
    assert len(noisy) == 2


def test_only_the_perceptrons_decay(model):
    groups = model.parameter_groups()
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    decaying = {id(one) for group in groups if group.get("weight_decay") for one in group["params"]}
    perceptrons = (model.encoder[1].perceptron, model.decoder[1].perceptron)
    hidden = {id(one) for part in perceptrons for one in part.hidden.parameters()}
    output = {id(one) for part in perceptrons for one in part.output.parameters()}
    assert decaying == hidden | output


def test_it_needs_fewer_bits_than_the_linear_codec_on_data_that_bend():
    samples = bumps()
    target = choose_target(24.0, None, None)
    plain = fit_klt(open_source(samples), sample_of(samples), target)
    trained = fitted(samples, epochs=40, batch_size=64)
    assert trained.record()["options"]["architecture"] == "transform"
    assert trained.rate.psnr_db >= 24
    assert trained.rate.bits_per_sample < 0.85 * plain.rate.bits_per_sample
    assert len(trained.history) == 40


def test_the_linear_codec_is_kept_where_training_does_not_beat_it():
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 255, (200, 20), dtype=np.uint8)
    trained = fitted(samples, 20.0, epochs=1, learning_rate=0.5)
    record = trained.record()
    assert record["options"]["architecture"] == "klt"
    assert record["options"]["better_than"] == "transform"
    plain = fit_klt(open_source(samples), sample_of(samples), choose_target(20.0, None, None))
    assert trained.rate == plain.rate
    values = sample_of(samples).to_network(samples)
    np.testing.assert_array_equal(
        torch_latents(trained.encoder, values), torch_latents(plain.encoder, values)
    )


def test_a_resumed_run_equals_an_uninterrupted_one(weights_of, tmp_path):
    samples = bumps(300)

    def interrupt(report):
        if report.epoch == 2:
            raise KeyboardInterrupt

    whole = fitted(samples, epochs=3)
    with pytest.raises(KeyboardInterrupt):
        fitted(samples, epochs=3, checkpoint=tmp_path, progress=interrupt)
    resumed = fitted(samples, epochs=3, checkpoint=tmp_path)
    assert resumed.record() == whole.record()
    np.testing.assert_array_equal(weights_of(resumed), weights_of(whole))
    with pytest.raises(InvalidInput, match="the checkpoint was made with"):
        fitted(samples, 25.0, epochs=3, checkpoint=tmp_path)


def test_without_epochs_it_takes_a_number_of_steps():
    brief = replace(TRANSFORM_KINDS["transform"], steps=24)
    few, many = (fitted(bumps(count), batch_size=30, kind=brief) for count in (40, 3000))
    assert (len(few.history), few.training_samples) == (20, 36)
    assert (len(many.history), many.training_samples) == (8, 90)
    few_passes = replace(brief, most_passes=lambda linear: 5 if linear.psnr_db >= 24 else 20)
    passing = fitted(bumps(40), batch_size=30, kind=few_passes)
    assert len(passing.history) == 5
    given = fitted(bumps(3000), batch_size=300, epochs=1)
    assert (len(given.history), given.training_samples) == (1, 2700)


def test_only_fine_latents_are_trained_in_few_passes():
    coarse = RatePoint(1.0, 95, 150.0, 20.7, 6.7, residual_bits=1500.0)
    fine = replace(coarse, bits_per_sample=550.0)
    passes = TRANSFORM_KINDS["transform"].most_passes
    assert math.isinf(passes(coarse))
    assert passes(fine) < 100
    assert math.isinf(TRANSFORM_KINDS["conv-transform"].most_passes(fine))


def test_a_price_of_bits_is_kept_to():
    samples = bumps()
    target = choose_target(None, None, 0.02)
    sample, source = sample_of(samples), open_source(samples)
    plain = fit_klt(source, sample, target).rate
    found = fit_transform(source, sample, target, epochs=20, batch_size=64, device="cpu").rate
    assert found.step == plain.step
    costs = [one.squared_error + 0.02 * one.bits_per_sample for one in (found, plain)]
    assert costs[0] < 0.95 * costs[1]


def test_within_a_bound_latents_and_residuals_together_are_few():
    samples = bumps()
    target, sample, source = choose_target(max_error=9), sample_of(samples), open_source(samples)
    plain = fit_klt(source, sample, target).rate
    found = fit_transform(source, sample, target, epochs=30, batch_size=64, device="cpu").rate
    assert plain.residual_bits > 0
    assert found.total_bits < 0.7 * plain.total_bits


def test_few_samples_get_no_network_and_no_training():
    seen = []
    trained = fitted(bumps(), for_samples=300, progress=seen.append)
    assert trained.record()["options"]["architecture"] == "klt"
    assert not seen
    assert trained.rate.decoder_bits == pytest.approx(8 * 24 * trained.rate.channels / 300)


def test_the_decoder_counts_where_it_is_shared():
    sharing = fitted(bumps(), epochs=40, batch_size=64, for_samples=100_000)
    assert sharing.record()["options"]["architecture"] == "transform"
    weights = sum(one.numel() for one in sharing.decoder.parameters())
    assert sharing.rate.decoder_bits == pytest.approx(8 * weights / 100_000)


@pytest.mark.parametrize(
    "samples",
    [
        np.random.default_rng(0).normal(size=(10, 6)),
        np.random.default_rng(0).normal(size=(300, 1)).astype(np.float32),
        np.random.default_rng(0).integers(0, 65536, (60, 5), np.uint16),
        1e9 + np.random.default_rng(0).normal(size=(80, 7)),
        np.full((30, 5), 7, np.float32),
    ],
    ids=["ten samples", "one element", "uint16", "far from zero", "constant"],
)
@pytest.mark.parametrize("target", [{"target_bytes": 1.0}, {"max_error": 0.5}], ids=str)
def test_it_never_takes_more_than_the_linear_codec(samples, target):
    shape, ends = samples.shape[1:], (float(samples.min()), float(samples.max()))
    sample = SampleFormat(shape, samples.dtype, shape, ends)
    source, wanted = open_source(samples), choose_target(**target)
    plain = fit_klt(source, sample, wanted).rate
    found = fit_transform(source, sample, wanted, epochs=3, device="cpu").rate
    assert found == plain or wanted.prefers(found, plain)


@pytest.mark.parametrize("samples", [bumps(1), np.full((30, 5), 7, np.uint8)])
def test_one_sample_and_constant_data(samples):
    assert fitted(samples, epochs=1).rate.bits_per_sample == 0
