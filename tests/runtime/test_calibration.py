import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import InvalidInput
from engine.codec.sample_format import SampleFormat
from engine.runtime import calibration
from engine.runtime.calibration import blocks, calibrate_latents, calibration_rows, value_range
from engine.sources import open_source

MIB = 1024 * 1024


class Numbered:
    """An array-like whose rows hold their own numbers, however many and large they are."""

    def __init__(self, rows, elements):
        self.shape = (rows, elements)
        self.dtype = np.dtype(np.int32)
        self.read_rows = 0

    def __getitem__(self, rows):
        numbers = np.arange(self.shape[0])[rows]
        self.read_rows += len(numbers)
        return np.broadcast_to(numbers[:, None], (len(numbers), self.shape[1])).astype(np.int32)


def rows_taken(samples, elements=1):
    return calibration_rows(open_source(Numbered(samples, elements)))[:, 0].tolist()


@given(st.integers(1, 4096))
def test_few_samples_are_all_taken(samples):
    assert rows_taken(samples) == list(range(samples))


@given(st.integers(4097, 10**6))
def test_many_samples_are_taken_in_64_runs_from_first_to_last(samples):
    taken = rows_taken(samples)
    assert 4000 < len(taken) <= 4096
    assert (np.diff(taken) > 0).all()
    assert (taken[0], taken[-1]) == (0, samples - 1)
    gaps = np.diff(taken)[np.diff(taken) > 1]
    assert len(gaps) <= 63
    assert samples < 8192 or gaps.max() - gaps.min() <= 2


@pytest.mark.parametrize(
    ("sample_bytes", "taken"), [(4, 2048), (64, 128), (128, 64), (196, 41), (4096, 2), (8256, 1)]
)
def test_large_samples_are_taken_within_a_bound(sample_bytes, taken, monkeypatch):
    monkeypatch.setattr(calibration, "CALIBRATION_BYTES", 8192)
    found = rows_taken(5000, sample_bytes // 4)
    assert len(found) == taken
    assert (found[0], found[-1]) == (0, 4999 if taken > 1 else 0)


def test_blocks_cover_every_row_in_order():
    source = open_source(Numbered(1000, 64 * 1024))
    firsts, sizes = zip(*((first, len(block)) for first, block in blocks(source)), strict=True)
    assert sum(sizes) == 1000
    assert list(firsts) == [0, *np.cumsum(sizes)[:-1]]
    assert max(sizes) * 64 * 1024 * 4 <= 8 * MIB


def test_the_range_is_found_in_one_pass_of_bounded_memory():
    data = Numbered(300, 256 * 1024)
    source = open_source(data)
    opened = data.read_rows
    tracemalloc.start()
    assert value_range(source) == (0, 299)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.read_rows - opened == 300
    assert peak_bytes < 40 * MIB  # of 300


@pytest.mark.parametrize("dtype", ["i1", "u2", "i4", "i8", "f2", "f4", "f8"])
def test_the_range_is_that_of_the_data(dtype):
    data = np.array([[3, -7], [100, 5]]).astype(dtype)
    assert value_range(open_source(data)) == (float(data.min()), float(data.max()))
    assert all(type(value) is float for value in value_range(open_source(data)))


def test_uint8_is_not_read():
    assert value_range(open_source(np.full((3, 2), 9, np.uint8))) == (0, 255)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_named_by_its_row_in_the_data(value):
    data = np.zeros((40, 512, 1024), np.float32)  # several blocks
    data[33, 5, 7] = value
    with pytest.raises(InvalidInput, match=rf"sample 33 holds {value} at index \(33, 5, 7\)"):
        value_range(open_source(data))


def calibrated(latents, bits=8):
    latents = np.asarray(latents, np.float32)
    sample = SampleFormat(latents.shape[1:], latents.dtype, latents.shape[1:], (0.0, 1.0))
    return calibrate_latents(lambda values: values, latents, sample, bits)


@pytest.mark.parametrize(("bits", "limit"), [(8, 127), (16, 32767)])
def test_each_channel_has_its_range_and_some_room(bits, limit):
    rng = np.random.default_rng(0)
    latents = rng.uniform(-1, 1, (600, 3, 2)) * [[[1], [10], [0.01]]] + [[[0], [100], [-5]]]
    found = calibrated(latents, bits)
    assert (found.shape, found.bits) == ((3, 2), bits)
    np.testing.assert_allclose(np.array(found.scale) * limit, [1.1, 11, 0.011], rtol=0.02)
    np.testing.assert_allclose(found.offset, [0, 100, -5], atol=0.1)
    steps = (latents - found.per_channel(found.offset)) / found.per_channel(found.scale)
    assert np.abs(steps).max() < limit


@pytest.mark.parametrize("constant", [0.0, 7.5, -1e30])
def test_a_constant_channel_has_a_scale_of_one(constant):
    found = calibrated(np.full((5, 1), constant))
    assert found.scale == (1.0,)
    assert found.offset == (np.float32(constant),)


def test_the_widest_latents_that_float32_holds():
    found = calibrated([[3e38], [-3e38]])
    assert found.offset == (0,)
    assert found.scale[0] == pytest.approx(3e38 * 1.1 / 127)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda values: values[:, 0], "must return latents of shape"),
        (lambda values: values[:, :0], "must return latents of shape"),
        (
            lambda values: values[:, :, None] @ np.zeros((1, 0), "f4"),
            "must return latents of shape",
        ),
        (lambda values: values / np.float32(0), "returns NaN or Inf"),
        (lambda values: values * np.float32(np.nan), "returns NaN or Inf"),
    ],
)
def test_latents_that_no_integers_can_stand_for_are_refused(result, message):
    samples = np.ones((5, 3), np.float32)
    sample = SampleFormat((3,), samples.dtype, (3,), (0.0, 1.0))
    with np.errstate(all="ignore"), pytest.raises(InvalidInput, match=message):
        calibrate_latents(result, samples, sample, 8)
