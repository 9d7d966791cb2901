import math

import numpy as np
import onnxruntime
import pytest
import torch

from engine.errors import InvalidInput
from engine.training import ARCHITECTURES, export_pair, torch_latents, torch_reconstruction

VECTOR, SIGNAL, GRAY, ODD, VOLUME = (384,), (1, 257), (1, 28, 28), (3, 17, 13), (1, 8, 9, 10)
SHAPES = [VECTOR, SIGNAL, GRAY, ODD, VOLUME, (1,), (1, 1, 1)]
FITTING = [
    (arch, shape)
    for arch in ARCHITECTURES
    for shape in SHAPES
    if arch != "conv" or len(shape) in (2, 3, 4)
]
EXPORTED = [
    *(("conv", shape) for shape in (SIGNAL, GRAY, ODD, VOLUME)),
    ("dense", VECTOR),
    ("deep", ODD),
    ("vae", GRAY),
    ("sparse", SIGNAL),
]


@pytest.mark.parametrize(("arch", "shape"), FITTING)
def test_every_architecture_trains_on_the_shapes_it_takes(arch, shape, make_samples, train):
    samples = make_samples(24, shape)
    trained = train(samples, arch=arch, epochs=1)
    latents = torch_latents(trained.encoder, samples)
    assert latents.shape == (24, 3)
    assert latents.dtype == np.float32
    assert torch_reconstruction(trained.decoder, latents).shape == samples.shape
    assert math.isfinite(trained.history[0].train_loss)
    assert math.isfinite(trained.history[0].validation_loss)


@pytest.mark.parametrize(("arch", "shape"), EXPORTED)
def test_onnxruntime_computes_what_torch_does_for_any_batch(arch, shape, make_samples, train):
    trained = train(make_samples(24, shape), arch=arch, epochs=1)
    encoder, decoder = (
        onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        for content in export_pair(trained.encoder, trained.decoder, shape)
    )
    for count in (1, 5):
        samples = make_samples(count, shape, seed=1)
        latents = torch_latents(trained.encoder, samples)
        decoded = torch_reconstruction(trained.decoder, latents)
        np.testing.assert_allclose(_run(encoder, samples), latents, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(_run(decoder, latents), decoded, rtol=1e-4, atol=1e-4)


def _run(session, values):
    return session.run(None, {session.get_inputs()[0].name: values})[0]


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_every_architecture_learns(arch, loss, make_samples, train):
    samples = make_samples(120, (1, 12, 12))
    history = train(samples, arch=arch, loss=loss, epochs=8, latent_dim=6).history
    start, best = history[0].validation_loss, min(one.validation_loss for one in history)
    assert best < (0.8 if loss == "mse" else 0.99) * start


def test_dense_comes_close_to_principal_components_on_data_far_from_zero(train):
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(600, 6)) @ rng.normal(size=(6, 50))
    samples = (0.5 + 0.03 * factors + 0.002 * rng.normal(size=(600, 50))).astype(np.float32)
    trained = train(samples, latent_dim=6, epochs=30, batch_size=32)
    variance = samples.var(axis=0).mean()
    assert trained.history[-1].validation_loss < 0.05 * variance


def test_conv_says_which_shapes_it_takes(make_samples, train):
    with pytest.raises(InvalidInput, match=r"one to three spatial axes.*\(384,\).*'dense'"):
        train(make_samples(10, VECTOR), arch="conv")
    with pytest.raises(InvalidInput, match="one to three spatial axes"):
        train(make_samples(10, (1, 2, 2, 2, 2)), arch="conv")


def test_classic_dense_on_digits_is_784_32_784():
    model = ARCHITECTURES["dense"]((1, 28, 28), 32)
    shapes = [tuple(weight.shape) for weight in model.parameters() if weight.ndim == 2]
    assert shapes == [(32, 784), (784, 32)]
    assert torch.count_nonzero(model.encoder(torch.rand(4, 1, 28, 28)) < 0) > 0


def test_conv_networks_for_digits_are_small():
    model = ARCHITECTURES["conv"]((1, 28, 28), 32)
    assert 4 * sum(weight.numel() for weight in model.parameters()) < 200_000


@pytest.mark.parametrize("shape", [(1, n) for n in range(1, 20)] + [(2, 5, 8), (1, 3, 7, 16)])
def test_conv_gives_back_any_size(shape):
    model = ARCHITECTURES["conv"](shape, 2, channels=2)
    assert model(torch.rand(2, *shape)).shape == (2, *shape)


def test_the_encoder_of_a_vae_returns_the_mean(make_samples, train):
    samples = make_samples(30, (16,))
    trained = train(samples, arch="vae")
    first, second = (torch_latents(trained.encoder, samples) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_beta_brings_latents_to_the_standard_normal(make_samples, train):
    samples = make_samples(200, (16,))

    def deviation(beta):
        trained = train(samples, arch="vae", epochs=15, arch_options={"beta": beta})
        return torch_latents(trained.encoder, samples).std()

    assert abs(deviation(0.1) - 1) < abs(deviation(0.0) - 1)


def test_penalties_make_latents_less_active(make_samples, train):
    samples = make_samples(100, (30,))

    def activity(**options):
        trained = train(samples, arch="sparse", epochs=10, latent_dim=8, arch_options=options)
        return np.abs(torch_latents(trained.encoder, samples)).mean()

    assert activity(l1=0.3) < 0.7 * activity(l1=0.0)
    assert activity(kl=1.0) < 0.8 * activity(kl=1.0, activity=0.5)


def test_denoising_removes_noise_better_than_deep(make_samples, train):
    samples = make_samples(300, (40,))
    noisy = samples + 0.2 * np.random.default_rng(1).normal(size=samples.shape).astype(np.float32)

    def error(arch, **options):
        trained = train(samples, arch=arch, epochs=8, latent_dim=12, arch_options=options)
        return np.square(_through(trained, noisy) - samples).mean()

    assert error("denoising", noise=0.2) < error("deep")


def _through(trained, samples):
    return torch_reconstruction(trained.decoder, torch_latents(trained.encoder, samples))


@pytest.mark.parametrize(
    ("arch", "options", "message"),
    [
        ("huge", {}, "arch 'huge' is unknown; there are dense, conv, deep, vae, sparse, denois"),
        ("dense", {"noise": 0.1}, "arch 'dense' has no option 'noise'; it has none"),
        ("vae", {"noise": 0.1}, "'vae' has no option 'noise'; it has beta, hidden, layers"),
        ("vae", {"beta": -1}, "option beta must be a finite number of at least 0, got -1"),
        ("vae", {"beta": math.nan}, "option beta must be a finite number"),
        ("deep", {"layers": 1.5}, "option layers must be a whole number of at least 1, got 1.5"),
        ("conv", {"channels": 0}, "option channels must be a whole number of at least 1, got 0"),
        ("sparse", {"activity": 1.0}, "option activity must lie between 0 and 1"),
    ],
)
def test_unknown_architectures_and_options_are_refused(arch, options, message, make_samples, train):
    with pytest.raises(InvalidInput, match=message):
        train(make_samples(10, (1, 4)), arch=arch, arch_options=options)


def test_whole_numbers_may_be_given_as_floats(make_samples, train):
    record = train(make_samples(10, (4,)), arch="deep", arch_options={"hidden": 6.0}).record()
    assert record["options"]["architecture_options"] == {"hidden": 6, "layers": 2}


def test_every_architecture_tells_what_it_is():
    assert all(kind.summary and kind.__doc__ for kind in ARCHITECTURES.values())
