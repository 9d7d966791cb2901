"""`engine.train(arch="klt")`: a codec of one step and no offset, for the target it is given."""

import numpy as np
import pytest

import engine
from engine import InvalidInput
from engine.jobs.train import LEARNING_CURVE
from engine.store.byte_array import stored_bytes


def train(data, path, **options):
    return engine.train(data, path, arch="klt", device="cpu", **options)


@pytest.fixture(scope="module")
def split(digits):
    return digits[::2], digits[1::4]


@pytest.fixture(scope="module")
def codec(split, tmp_path_factory):
    return train(split[0], tmp_path_factory.mktemp("klt") / "klt.codec", target_psnr=20.7)


def psnr(codec, samples):
    decoded = codec.decode(codec.encode(samples)).astype(float)
    return 20 * np.log10(255) - 10 * np.log10(np.mean((decoded - samples) ** 2))


def entropy_bytes(codec, samples):
    counts = [np.unique(c, return_counts=True)[1] for c in codec.encode(samples).T]
    shares = [count / len(samples) for count in counts]
    return sum(-(share * np.log2(share)).sum() for share in shares) / 8


def test_all_channels_have_the_step_that_was_chosen(codec):
    latent, rate = codec.manifest.latent, codec.manifest.training["rate"]
    assert set(latent.scale) == {rate["step"]}
    assert set(latent.offset) == {0.0}
    assert latent.shape == (rate["channels"],)
    assert (latent.bits, codec.manifest.calibration["saturated"]) == (8, 0)
    assert "certificate" in {entry.role for entry in codec.manifest.files}
    assert LEARNING_CURVE not in codec.files.contents


def test_digits_reach_the_quality_at_the_size_of_the_linear_transform(codec, split):
    assert psnr(codec, split[1]) == pytest.approx(20.7, abs=0.3)
    assert entropy_bytes(codec, split[1]) < 20


def test_weights_are_narrow(codec):
    decoder = codec.files.role("decoder")
    assert stored_bytes(decoder) < 0.15 * 4 * 784 * codec.latent_shape[0]
    assert codec.manifest.calibration["weights_loss_db"] <= 0.02


def test_distances_of_latents_are_those_of_samples(codec, split):
    samples = split[1][:40]
    features = codec.features(samples)
    decoded = codec.reconstruct(codec.encode(samples)).reshape(40, -1) / 255
    among_features, among_samples = (
        np.linalg.norm(values[:, None] - values, axis=2) for values in (features, decoded)
    )
    np.testing.assert_allclose(among_features, among_samples, rtol=0.01)  # weights are rounded


def test_half_the_step_has_the_room_it_needs(codec, split):
    finer = codec.encode(split[1], step=0.5)
    assert np.abs(finer).max() < codec.manifest.latent.limit
    error = codec.decode(finer, step=0.5).astype(float) - split[1]
    assert 20 * np.log10(255) - 10 * np.log10(np.mean(error**2)) > psnr(codec, split[1]) + 1


def test_a_fine_step_takes_sixteen_bits(split, tmp_path):
    codec = train(split[0], tmp_path / "fine.codec", target_psnr=42)
    assert codec.manifest.latent.bits == 16
    assert codec.manifest.calibration["saturated"] == 0
    assert psnr(codec, split[1]) > 41


def test_a_size_in_bytes(split, tmp_path):
    codec = train(split[0], tmp_path / "small.codec", target_bytes=10, bits=16)
    assert codec.manifest.latent.bits == 16
    assert entropy_bytes(codec, split[1]) == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("shape", [(40,), (6, 5, 4, 3)])
def test_vectors_and_coloured_volumes_compress(shape, tmp_path):
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(size=(300, int(np.prod(shape)))), axis=1)
    data = walk.reshape(300, *shape).astype(np.float32)
    codec = train(data, tmp_path / "walk.codec", target_psnr=30)
    report = engine.compress(data, tmp_path / "walk.zarr", codec)
    assert report.psnr_db == pytest.approx(30, abs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_psnr": 30, "target_bytes": 3}, "expected one of .* got target_psnr, target_byte"),
        ({"loss": "bce"}, "loss must be mse, got bce"),
        ({"arch_options": {"hidden": 3}}, "arch 'klt' has no options, got hidden"),
        ({"bits": 9}, "bits must be 8 or 16, got 9"),
    ],
)
def test_options_that_say_nothing_to_it_are_refused(split, options, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        train(split[0], tmp_path / "no.codec", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["target_psnr", "target_bytes", "rate_lambda"])
def test_targets_are_refused_of_other_architectures(name, split, tmp_path):
    with pytest.raises(InvalidInput, match="are for arch 'klt'"):
        engine.train(split[0], tmp_path / "no.codec", arch="dense", **{name: 3})
