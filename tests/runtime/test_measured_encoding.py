"""What both encoders promise: the latents of the codec, and the errors of what it decodes."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engine.runtime.device_encoding import DeviceEncoder
from engine.runtime.measured_encoding import HostEncoder, open_measured_encoder

from .measured_run import run

DTYPES = ["u1", "i2", "u4", "i8", "f2", "f4", "f8"]


@pytest.fixture(scope="module", params=DTYPES)
def coded(request, make_codec):
    rng = np.random.default_rng(0)
    data = (rng.normal(size=(200, 3, 4, 5)) * 20 + 100).clip(0, 255).astype(request.param)
    return make_codec(data, 12), data


def assert_equal(one, other):
    np.testing.assert_array_equal(one.latents, other.latents)
    np.testing.assert_array_equal(one.errors, other.errors)


@pytest.mark.parametrize("kind", [HostEncoder, DeviceEncoder])
@pytest.mark.parametrize("step", [1.0, 3.0])
def test_errors_are_those_of_what_a_reader_gets(coded, kind, step):
    codec, data = coded
    measured = run(kind(codec, step), codec, data)
    np.testing.assert_array_equal(measured.latents, codec.encode(data, step))
    decoded = codec.decode(measured.latents, step)
    errors = (decoded.astype(float) - data.astype(float)).reshape(len(data), -1)
    np.testing.assert_array_equal(measured.errors[0], np.abs(errors).max(axis=1))
    np.testing.assert_allclose(measured.errors[1], (errors**2).sum(axis=1), rtol=1e-9)


def test_both_encoders_agree_to_the_last_bit(coded):
    codec, data = coded
    assert_equal(*(run(kind(codec, 1.0), codec, data) for kind in (HostEncoder, DeviceEncoder)))


def test_both_encoders_agree_on_digits(digits_codec, digits):
    host, bound = (kind(digits_codec, 1.0) for kind in (HostEncoder, DeviceEncoder))
    for count in (1, 255, 7):
        assert_equal(*(run(one, digits_codec, digits[:count]) for one in (host, bound)))


@pytest.mark.parametrize("kind", [HostEncoder, DeviceEncoder])
def test_without_room_for_errors_nothing_is_decoded(digits_codec, digits, kind):
    found = run(kind(digits_codec, 1.0), digits_codec, digits[:9], measured=False)
    assert found.errors is None
    np.testing.assert_array_equal(found.latents, digits_codec.encode(digits[:9]))


def test_every_batch_of_a_thread_is_decoded_into_the_same_memory(digits_codec, digits):
    encoder = HostEncoder(digits_codec, 1.0)
    run(encoder, digits_codec, digits[:64])
    tracemalloc.start()
    for start in range(0, 640, 64):
        run(encoder, digits_codec, digits[start : start + 64])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < digits[:64].size  # a reconstruction takes four times as much


@pytest.mark.parametrize("kind", [HostEncoder, DeviceEncoder])
def test_threads_share_an_encoder(digits_codec, digits, kind):
    encoder = kind(digits_codec, 1.0)
    runs = np.split(digits[:2000], 20)
    with ThreadPoolExecutor(4) as pool:
        measured = list(pool.map(lambda part: run(encoder, digits_codec, part), runs))
    for found, part in zip(measured, runs, strict=True):
        assert_equal(found, run(encoder, digits_codec, part))


@pytest.mark.parametrize("kind", [HostEncoder, DeviceEncoder])
def test_samples_may_be_read_only(digits_codec, digits, kind):
    assert not digits.flags.writeable
    run(kind(digits_codec, 1.0), digits_codec, digits[:3])


def test_the_device_decides(digits_codec):
    encoder = open_measured_encoder(digits_codec, 1.0, measured=True)
    assert isinstance(encoder, HostEncoder)
    assert encoder.description == "cpu"


def test_without_kernels_a_gpu_is_compared_on_the_host(digits_codec):
    codec = digits_codec.on("cpu")
    codec.device = "cuda"  # no network is opened before the first batch
    assert HostEncoder(codec, 1.0).description == (
        "cuda, error statistics on the host (pip install 'latent-engine[cuda]' for the kernels)"
    )
