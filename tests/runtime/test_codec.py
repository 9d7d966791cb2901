from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engine import Codec, CorruptCodec, InvalidInput
from engine.codec.files import CodecFiles
from engine.runtime.codec import batch_samples, batches, check_finite, check_step


@pytest.fixture(scope="module")
def field_codec(make_codec):
    rng = np.random.default_rng(0)
    return make_codec(rng.normal(size=(300, 4, 6, 3)).astype(np.float32), 10, bits=16)


def fields(count):
    return np.random.default_rng(1).normal(size=(count, 4, 6, 3)).astype(np.float32)


def test_what_a_codec_says_of_itself(digits_codec):
    assert digits_codec.sample_shape == (28, 28)
    assert digits_codec.latent_shape == (32,)
    assert digits_codec.dtype == np.uint8
    assert digits_codec.device == "cpu"
    assert digits_codec.digest == digits_codec.files.digest


def test_decoding_brings_the_samples_back(digits_codec, digits):
    latents = digits_codec.encode(digits[::10])
    assert (latents.shape, latents.dtype) == ((500, 32), np.int8)
    decoded = digits_codec.decode(latents)
    assert (decoded.shape, decoded.dtype) == ((500, 28, 28), np.uint8)
    assert np.mean((decoded.astype(float) - digits[::10]) ** 2) < 0.25 * np.var(digits[::10])


def test_decoding_rounds_what_the_decoder_returns(digits_codec, digits):
    latents = digits_codec.encode(digits[:50])
    floats = digits_codec.reconstruct(latents)
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(
        digits_codec.decode(latents), np.rint(floats).clip(0, 255).astype(np.uint8)
    )


def test_features_are_the_values_of_the_latents(digits_codec, digits):
    latent = digits_codec.manifest.latent
    for step in (1.0, 2.0):
        features = digits_codec.features(digits[:50], step)
        assert features.dtype == np.float32
        latents = digits_codec.encode(digits[:50], step)
        np.testing.assert_array_equal(features, latent.dequantise(latents, step))


def test_a_larger_step_is_coarser(field_codec):
    samples = fields(50)
    errors = [
        np.abs(field_codec.features(samples, step) - field_codec.features(samples)).max()
        for step in (4.0, 64.0, 1024.0)
    ]
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
def test_any_number_of_samples(digits_codec, digits, count):
    latents = digits_codec.encode(digits[:count])
    assert latents.shape == (count, 32)
    singly = [digits_codec.encode(digits[row : row + 1]) for row in range(0, count, 100)]
    np.testing.assert_array_equal(latents[::100], np.concatenate([latents[:0], *singly]))
    assert digits_codec.decode(latents).shape == (count, 28, 28)
    assert digits_codec.features(digits[:count]).shape == (count, 32)


def test_memory_layout_does_not_matter(digits_codec, digits):
    samples = digits[::100]
    expected = digits_codec.encode(samples)
    for layout in (np.asfortranarray(samples), np.repeat(samples, 2, axis=0)[::2]):
        np.testing.assert_array_equal(digits_codec.encode(layout), expected)
    np.testing.assert_array_equal(
        digits_codec.decode(np.asfortranarray(expected)), digits_codec.decode(expected)
    )


def test_threads_share_a_codec(digits_codec, digits):
    codec = digits_codec.on("cpu")  # opens its networks while the threads run
    runs = np.split(digits, 20)
    with ThreadPoolExecutor(4) as pool:
        latents = list(pool.map(codec.encode, runs))
        decoded = list(pool.map(codec.decode, latents))
    np.testing.assert_array_equal(np.concatenate(latents), digits_codec.encode(digits))
    np.testing.assert_array_equal(
        np.concatenate(decoded), digits_codec.decode(np.concatenate(latents))
    )


@pytest.mark.parametrize(
    ("batch", "found"),
    [
        (np.zeros((3, 28, 28)), "float64"),
        (np.zeros((3, 28, 28), np.int8), "int8"),
        (np.zeros((3, 28, 28), ">u2"), ">u2"),
        (np.zeros((28, 28), np.uint8), r"\(28, 28\)"),
        (np.zeros((3, 28, 27), np.uint8), r"\(3, 28, 27\)"),
        (np.zeros((3, 1, 28, 28), np.uint8), r"\(3, 1, 28, 28\)"),
        (np.uint8(5), "uint8"),
        (["a"], "<U1"),
    ],
)
def test_other_samples_are_refused(digits_codec, batch, found):
    for method in (digits_codec.encode, digits_codec.features):
        with pytest.raises(
            InvalidInput, match=rf"takes uint8 samples of shape \(n, 28, 28\), .*{found}"
        ):
            method(batch)


@pytest.mark.parametrize(
    "latents",
    [
        np.zeros((3, 32)),
        np.zeros((3, 32), np.int16),
        np.zeros((3, 31), np.int8),
        np.zeros(32, np.int8),
        np.zeros((), np.int8),
    ],
)
def test_other_latents_are_refused(digits_codec, latents):
    for method in (digits_codec.decode, digits_codec.reconstruct):
        with pytest.raises(InvalidInput, match=r"must be int8 of shape \(n, 32\), got"):
            method(latents)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named_by_its_index(field_codec, value):
    samples = fields(9)
    samples[7, 3, 0, 2] = samples[8] = value
    for method in (field_codec.encode, field_codec.features):
        with pytest.raises(InvalidInput, match=rf"sample 7 holds {value} at index \(7, 3, 0, 2\)"):
            method(samples)


def test_indices_are_counted_from_the_first_row():
    with pytest.raises(InvalidInput, match=r"sample 101 holds nan at index \(101, 0\)"):
        check_finite(np.array([[0.0], [np.nan]]), first_row=100)
    check_finite(np.array([[1, 2]]))


@pytest.mark.parametrize("step", [0, -1.0, np.nan, np.inf, 1e-60, 1e60])
def test_a_step_that_no_quantiser_has_is_refused(digits_codec, digits, step):
    for call in (
        lambda: check_step(step),
        lambda: digits_codec.encode(digits[:1], step),
        lambda: digits_codec.decode(np.zeros((1, 32), np.int8), step),
    ):
        with pytest.raises(InvalidInput, match="step must be a positive number"):
            call()


def test_a_saved_codec_encodes_alike(digits_codec, digits, tmp_path):
    digits_codec.save(tmp_path / "digits.codec")
    loaded = Codec.load(tmp_path / "digits.codec", device="cpu")
    assert loaded.digest == digits_codec.digest
    np.testing.assert_array_equal(loaded.encode(digits[:9]), digits_codec.encode(digits[:9]))


def test_a_store_copy_decodes_without_its_encoder(digits_codec, digits):
    files = digits_codec.files
    stored = CodecFiles(files.manifest, {"decoder.onnx": files.role("decoder")})
    codec = Codec(stored, "cpu")
    latents = digits_codec.encode(digits[:9])
    np.testing.assert_array_equal(codec.decode(latents), digits_codec.decode(latents))
    with pytest.raises(CorruptCodec, match="stored without its encoder"):
        codec.encode(digits[:9])


def test_networks_that_are_none_are_damage(digits_codec, digits):
    codec = Codec(CodecFiles(digits_codec.manifest, {"encoder.onnx": b"garbage"}), "cpu")
    with pytest.raises(CorruptCodec, match=r"^encoder\.onnx: it is not an ONNX model$"):
        codec.encode(digits[:1])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1,), 256), ((28, 28), 256), ((1 << 18,), 1), ((32, 32, 3), 64), ((10**5, 10**5, 10**5), 1)],
)
def test_large_samples_come_in_small_batches(shape, expected):
    assert batch_samples(shape) == expected


def test_batches_cover_every_row():
    assert list(batches(7, 3)) == [(0, 3), (3, 6), (6, 7)]
    assert list(batches(0, 3)) == []
