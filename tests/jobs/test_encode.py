"""Encoding into a file: the latents or features of the codec, whole or not at all."""

import numpy as np
import pytest
import zarr

import engine
from engine.errors import InvalidInput


@pytest.fixture(scope="module")
def few(digits):
    return digits[::40]


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize("step", [1.0, 3.0])
def test_it_writes_what_the_codec_makes(step, features, few, digits_codec, tmp_path):
    out, seen = tmp_path / "latents.npy", []
    shape = engine.encode(
        few, out, digits_codec, step=step, features=features, progress=lambda *n: seen.append(n)
    )
    expected = (digits_codec.features if features else digits_codec.encode)(few, step)
    found = np.load(out)
    assert (shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(found, expected)
    assert seen[-1] == (len(few), len(few))
    assert list(tmp_path.iterdir()) == [out]


def test_a_zarr_array(few, digits_codec, tmp_path):
    engine.encode(few, tmp_path / "latents.zarr", digits_codec)
    found = zarr.open_array(tmp_path / "latents.zarr", mode="r")
    np.testing.assert_array_equal(found[:], digits_codec.encode(few))


def test_codec_and_data_by_path_and_key(few, digits_codec, tmp_path):
    digits_codec.save(tmp_path / "digits.codec")
    np.savez(tmp_path / "data.npz", a=few, b=few[:1])
    out = tmp_path / "latents.npy"
    engine.encode(tmp_path / "data.npz", out, tmp_path / "digits.codec", key="a", device="cpu")
    np.testing.assert_array_equal(np.load(out), digits_codec.encode(few))


def test_an_existing_file_is_replaced_only_when_told(few, digits_codec, tmp_path):
    out = tmp_path / "latents.npy"
    out.write_bytes(b"precious")
    with pytest.raises(InvalidInput, match="--overwrite"):
        engine.encode(few, out, digits_codec)
    assert out.read_bytes() == b"precious"
    engine.encode(few, out, digits_codec, overwrite=True)
    assert len(np.load(out)) == len(few)


@pytest.mark.parametrize(
    ("make", "options", "problem"),
    [
        (lambda data: data.astype(np.float32), {}, "the codec takes uint8"),
        (lambda data: data[:, :27], {}, "samples of shape \\(27, 28\\)"),
        (lambda data: data, {"step": 0}, "step must be a positive number"),
        (lambda data: data, {"step": np.inf}, "step must be a positive number"),
        (lambda data: data, {"device": "tpu"}, "device must be"),
    ],
)
def test_bad_input_leaves_nothing(make, options, problem, few, digits_codec, tmp_path):
    with pytest.raises(InvalidInput, match=problem):
        engine.encode(make(few), tmp_path / "latents.npy", digits_codec, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_is_not_finite_leaves_nothing(few, make_codec, tmp_path):
    data = few.astype(np.float32)
    codec = make_codec(data, 4)
    data[77, 5, 6] = np.nan
    with pytest.raises(InvalidInput, match=r"sample 77 holds nan at index \(77, 5, 6\)"):
        engine.encode(data, tmp_path / "latents.npy", codec)
    assert list(tmp_path.iterdir()) == []
