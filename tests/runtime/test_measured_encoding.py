"""What both encoders promise: the latents of the codec, and the errors of what it decodes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engine.runtime.bound_encoding import BoundEncoder, choose_statistics
from engine.runtime.measured_encoding import HostEncoder, open_measured_encoder

DTYPES = ["u1", "i2", "u4", "i8", "f2", "f4", "f8"]


@pytest.fixture(scope="module", params=DTYPES)
def coded(request, make_codec):
    rng = np.random.default_rng(0)
    data = (rng.normal(size=(200, 3, 4, 5)) * 20 + 100).clip(0, 255).astype(request.param)
    return make_codec(data, 12), data


@pytest.mark.parametrize("kind", [HostEncoder, BoundEncoder])
@pytest.mark.parametrize("step", [1.0, 3.0])
def test_errors_are_those_of_what_a_reader_gets(coded, kind, step):
    codec, data = coded
    measured = kind(codec, step)(data)
    np.testing.assert_array_equal(measured.latents, codec.encode(data, step))
    decoded = codec.decode(measured.latents, step)
    errors = (decoded.astype(float) - data.astype(float)).reshape(len(data), -1)
    np.testing.assert_array_equal(measured.max_abs_error, np.abs(errors).max(axis=1))
    np.testing.assert_allclose(measured.sum_squared_error, (errors**2).sum(axis=1), rtol=1e-9)


def test_both_encoders_agree_to_the_last_bit(coded):
    codec, data = coded
    host, bound = (kind(codec, 1.0)(data) for kind in (HostEncoder, BoundEncoder))
    for field in ("latents", "max_abs_error", "sum_squared_error"):
        found, expected = getattr(bound, field), getattr(host, field)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_both_encoders_agree_on_digits(digits_codec, digits):
    host, bound = (kind(digits_codec, 1.0) for kind in (HostEncoder, BoundEncoder))
    for count in (1, 7, 255):
        one, other = host(digits[:count]), bound(digits[:count])
        np.testing.assert_array_equal(one.latents, other.latents)
        np.testing.assert_array_equal(one.max_abs_error, other.max_abs_error)
        np.testing.assert_array_equal(one.sum_squared_error, other.sum_squared_error)


@pytest.mark.parametrize("kind", [HostEncoder, BoundEncoder])
def test_threads_share_an_encoder(digits_codec, digits, kind):
    encoder = kind(digits_codec, 1.0)
    runs = np.split(digits[:2000], 20)
    with ThreadPoolExecutor(4) as pool:
        measured = list(pool.map(encoder, runs))
    expected = list(map(encoder, runs))
    for one, other in zip(measured, expected, strict=True):
        np.testing.assert_array_equal(one.latents, other.latents)
        np.testing.assert_array_equal(one.sum_squared_error, other.sum_squared_error)


@pytest.mark.parametrize("kind", [HostEncoder, BoundEncoder])
def test_samples_may_be_read_only(digits_codec, digits, kind):
    assert not digits.flags.writeable
    assert len(kind(digits_codec, 1.0)(digits[:3]).latents) == 3


def test_the_device_decides(digits_codec):
    encoder = open_measured_encoder(digits_codec, 1.0)
    assert isinstance(encoder, HostEncoder)
    assert encoder.description == "cpu"
    assert BoundEncoder(digits_codec, 1.0).description == "cpu, error statistics on the host"
    assert choose_statistics("cpu")[1] == "on the host"
