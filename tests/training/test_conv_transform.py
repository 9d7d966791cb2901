"""The convolutional transform: it starts at the linear codec of blocks, whatever their shape."""

import numpy as np
import onnxruntime
import pytest
import torch

from engine.codec.sample_format import SampleFormat
from engine.sources import open_source
from engine.training import (
    TRANSFORM_KINDS,
    choose_target,
    export_pair,
    fit_transform,
    torch_latents,
    torch_reconstruction,
)
from engine.training.batches import split_rows
from engine.training.block_klt import fit_blocks
from engine.training.distortion import mean_squared_error
from engine.training.held_out import HeldOut
from engine.training.linear_codec import LinearCodec

KIND = TRANSFORM_KINDS["conv-transform"]
SHAPES = [(1, 70), (1, 20, 35), (3, 24, 17), (1, 8, 9, 12)]


def waves(count, shape, seed=0):
    """Smooth waves of random direction and phase, uint8 `(count, *shape)`, channels first."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*map(np.arange, shape[1:]), indexing="ij")
    pace = rng.uniform(0.05, 0.3, (count, shape[0], len(axes)))
    angle = np.tensordot(pace, np.stack(axes), 1) + rng.uniform(0, 6, (count, 1) + (1,) * len(axes))
    return np.rint(127 + 100 * np.sin(angle)).astype(np.uint8)


def sample_of(shape):
    return SampleFormat(shape, np.dtype(np.uint8), shape, (0.0, 255.0))


def blocks_of(samples):
    source, sample = open_source(samples), sample_of(samples.shape[1:])
    split = split_rows(source, 0.1, 0)
    return fit_blocks(source, sample, split, HeldOut(source, split.validation, sample))


def fitted(samples, target_psnr=28.0, **options):
    target = choose_target(target_psnr, None, None)
    sample = sample_of(samples.shape[1:])
    return fit_transform(open_source(samples), sample, target, kind=KIND, device="cpu", **options)


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def linear(request):
    return blocks_of(waves(40, request.param))


def test_the_linear_networks_do_what_was_measured(linear):
    point = linear.measure(0.1)
    encoder, decoder = linear.networks(point.channels)
    samples = linear.held_out.samples
    integers = np.rint(torch_latents(encoder, samples) / np.float32(point.step))
    decoded = torch_reconstruction(decoder, integers * np.float32(point.step))
    again = linear.held_out.measure(point.step, np.zeros(1), decoded)
    assert again.psnr_db == pytest.approx(point.psnr_db, abs=1e-3)
    assert decoded.shape == samples.shape


def test_it_starts_at_the_linear_codec(linear):
    torch.manual_seed(0)
    model = linear.start(0.2, linear.measure(0.2))
    channels = model.prior.centres.shape[1]
    encoder, decoder = linear.networks(channels)
    samples = torch.from_numpy(linear.held_out.samples)
    with torch.no_grad():
        latents = encoder(samples)
        assert model.encoder(samples).shape == latents.shape
        assert (model.encoder(samples) - latents).abs().max() < 0.1 * latents.abs().max()
        plain = decoder(latents)
        assert (model.decoder(latents) - plain).square().mean() < 0.01 * plain.var()


def test_onnxruntime_computes_what_torch_does_of_volumes():
    linear = blocks_of(waves(40, (1, 8, 9, 12)))
    model = linear.start(0.2, linear.measure(0.2))
    encoder, decoder = (
        onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        for content in export_pair(model.encoder, model.decoder, linear.held_out.samples.shape[1:])
    )
    for count in (1, 3):
        samples = np.resize(linear.held_out.samples, (count, *linear.held_out.samples.shape[1:]))
        latents = torch_latents(model.encoder, samples)
        np.testing.assert_allclose(run(encoder, samples), latents, rtol=1e-4, atol=1e-4)
        decoded = torch_reconstruction(model.decoder, latents)
        np.testing.assert_allclose(run(decoder, latents), decoded, rtol=1e-4, atol=1e-4)


def run(session, values):
    return session.run(None, {session.get_inputs()[0].name: values})[0]


def test_its_loss_counts_the_bits_of_all_positions():
    linear = blocks_of(waves(40, (1, 20, 35)))
    model = linear.start(0.2, linear.measure(0.2)).eval()
    samples = torch.from_numpy(linear.held_out.samples)
    with torch.no_grad():
        integers = torch.round(model.encoder(samples) / 0.2)
        error = (model.decoder(integers * 0.2) - samples).square().flatten(1).sum(1).mean()
        positions = integers.movedim(1, -1).reshape(-1, integers.shape[1])
        bits = model.prior.bits(positions).sum() / len(samples)
        expected = error + model.price * bits
        found = model.validation_loss(samples, mean_squared_error)
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_mean_field_is_removed_where_the_data_have_one():
    samples = waves(40, (1, 20, 35))
    assert blocks_of(samples).maps(3).mean.shape == (1, 1, 1)
    field = np.linspace(0, 120, 35).astype(np.uint8)
    assert blocks_of(samples // 2 + field).maps(3).mean.shape == (1, 20, 35)


def test_the_better_linear_codec_is_kept_where_training_does_not_beat_it():
    factors = np.random.default_rng(0).normal(size=(60, 3))
    pattern = np.random.default_rng(1).normal(size=(3, 40 * 24))
    spread = np.clip(127 + 25 * factors @ pattern, 0, 255)
    trained = fitted(spread.astype(np.uint8).reshape(-1, 1, 40, 24), epochs=1)
    assert trained.record()["options"]["better_than"] == "conv-transform"
    assert trained.record()["options"]["architecture"] == "klt"  # no block tells of another
    noise = np.random.default_rng(0).integers(0, 255, (9, 1, 64, 64), dtype=np.uint8)
    trained = fitted(noise, 20.0, epochs=1)
    assert trained.record()["options"]["architecture"] == "block-klt"
    assert isinstance(blocks_of(noise), LinearCodec)


def test_few_samples_get_no_network_and_no_training():
    seen = []
    trained = fitted(waves(40, (1, 20, 20)), epochs=1, for_samples=40, progress=seen.append)
    assert trained.record()["options"]["better_than"] == "conv-transform"
    assert not seen


def test_a_resumed_run_equals_an_uninterrupted_one(weights_of, tmp_path):
    samples = waves(40, (1, 20, 20))

    def interrupt(report):
        if report.epoch == 2:
            raise KeyboardInterrupt

    whole = fitted(samples, epochs=3)
    with pytest.raises(KeyboardInterrupt):
        fitted(samples, epochs=3, checkpoint=tmp_path, progress=interrupt)
    resumed = fitted(samples, epochs=3, checkpoint=tmp_path)
    assert resumed.record() == whole.record()
    np.testing.assert_array_equal(weights_of(resumed), weights_of(whole))


@pytest.mark.parametrize(
    "samples", [waves(1, (1, 5, 5)), np.full((30, 1, 5, 4), 7, np.uint8)], ids=["one", "constant"]
)
def test_one_sample_and_constant_data(samples):
    assert fitted(samples, epochs=1).rate.bits_per_sample == 0
