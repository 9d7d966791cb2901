"""The choice of a coding: near the smallest there is, the same every time, and exact."""

import lzma

import numpy as np
import pytest

from engine.jobs.choose_coding import choose_coding
from engine.store.coding import PCODEC, ZSTD, Coding
from engine.store.prediction import NO_PREDICTION

from ..laws import same_values

RNG = np.random.default_rng(5)


def spectral_field(samples=64, size=32):
    """A smooth periodic field `(samples, size, size)` with a k^-5/3 spectrum, int16."""
    rng = np.random.default_rng(1)
    k = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128)[None]) * 128
    k[0, 0] = 1
    fields = []
    for _ in range(-(-samples // 16)):
        phases = np.exp(2j * np.pi * rng.random(k.shape))
        field = np.fft.irfft2(k ** (-4 / 3) * np.exp(-((k / 30) ** 2)) * phases)
        tiles = field.reshape(4, size, 4, size).swapaxes(1, 2).reshape(-1, size, size)
        fields.append(tiles / field.std() * 100)
    return np.rint(np.concatenate(fields)[:samples]).astype(np.int16)


def cut(values, chunk_samples):
    return [values[i : i + chunk_samples] for i in range(0, len(values), chunk_samples)]


def size(coded, chunks):
    return sum(len(coded.encode(chunk)) for chunk in chunks)


CASES = {
    "noise": cut(RNG.integers(0, 256, (128, 16, 16), dtype=np.uint8), 64),
    "constant": cut(np.full((128, 20), 7, np.int16), 64),
    "field": cut(spectral_field(), 16),
    "colours": cut((spectral_field()[..., np.newaxis] // 4 + [0, 9, 20]).astype(np.uint8), 16),
    "counts": cut(RNG.poisson(RNG.gamma(2, 30, (1, 50)), (256, 50)).astype(np.int32), 64),
    "long": cut(RNG.integers(-(1 << 60), 1 << 60, (64, 9)), 32),
    "numbers": cut(np.arange(300, dtype=np.uint16), 100),
    "decimals": cut((RNG.integers(0, 2000, (64, 100)) / np.float32(100)).astype(np.float32), 32),
    "normal": cut(RNG.normal(size=(64, 99)), 32),
    "deep": cut(RNG.integers(0, 9, (16, 2, 3, 4, 5), dtype=np.int8), 8),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def chunks(request):
    return request.param


@pytest.mark.parametrize("portable", [False, True])
def test_the_choice_is_exact_and_portable_if_it_has_to_be(chunks, portable):
    coded = choose_coding(chunks, portable=portable)
    assert coded.coding.is_portable or not portable
    for chunk in chunks:
        content = coded.encode(chunk)
        assert same_values(coded.decode(content, chunk.shape, chunk.dtype, "chunk"), chunk)


@pytest.mark.parametrize("portable", [False, True])
def test_the_choice_is_never_larger_than_zstd_alone(chunks, portable):
    coded = choose_coding(chunks, portable=portable)
    smallest = min(size(Coding(ZSTD, 1, last), chunks) for last in (True, False))
    assert size(coded, chunks) <= 1.01 * smallest + 4 * len(chunks)


def test_the_choice_is_the_same_every_time(chunks):
    assert choose_coding(chunks, portable=False) == choose_coding(chunks, portable=False)


def test_smooth_fields_are_predicted():
    coded = choose_coding(CASES["field"], portable=False)
    plain = sum(len(lzma.compress(chunk.tobytes())) for chunk in CASES["field"])
    assert coded.prediction
    assert size(coded, CASES["field"]) < 0.75 * plain


def test_noise_costs_what_it_is():
    coded = choose_coding(CASES["noise"], portable=False)
    assert coded.prediction == NO_PREDICTION
    assert size(coded, CASES["noise"]) < 1.001 * sum(chunk.nbytes for chunk in CASES["noise"])


def test_decimals_are_left_to_pcodec():
    coded = choose_coding(CASES["decimals"], portable=False)
    assert coded.coding.coder == PCODEC
    assert size(coded, CASES["decimals"]) < sum(chunk.nbytes for chunk in CASES["decimals"]) / 2


def test_digits_are_better_unpredicted(digits):
    coded = choose_coding(cut(digits[::10], 250), portable=True)
    assert coded.prediction == NO_PREDICTION
    assert not coded.coding.samples_last
