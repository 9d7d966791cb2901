"""What is decoded in memory of the device is what the host decodes, and patches are put there."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cuda_kernels.residuals.reference import restore
from engine.codec.certificate import read_certificate
from engine.errors import GuaranteeViolated
from engine.runtime.device_reader import DeviceReader, StoredRows

from ..devices import needs_gpu, on_each_device

torch = pytest.importorskip("torch")

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
COUNT, BATCH = 37, 8


@pytest.fixture(scope="module", params=DTYPES)
def coded(request, make_codec):
    rng = np.random.default_rng(0)
    data = (rng.normal(size=(COUNT, 3, 7)) * 20 + 60).clip(0, 120).astype(request.param)
    return make_codec(data, 6), data


def assert_decoded(found, expected, device):
    """The same; on a GPU a float may differ in its last bits, and what is rounded by a whole."""
    assert found.dtype == expected.dtype
    room = 0 if device == "cpu" else np.abs(expected).max() * 1e-5 + (found.dtype.kind != "f")
    np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=0, atol=room)


def decoded(reader, stored, count):
    out = reader.empty(count)
    reader.decode(stored, out)
    return reader.to_host(out)


@on_each_device
def test_latents_become_samples(coded, device):
    codec, data = coded
    latents, reader = codec.encode(data), DeviceReader(codec.on(device), 1.0, BATCH)
    for count in (COUNT, 1, 3, 0, BATCH, COUNT - 1):
        found = decoded(reader, StoredRows(latents[:count]), count)
        assert found.shape == (count, *data.shape[1:])
        if count:
            assert_decoded(found, codec.decode(latents[:count]), device)


@on_each_device
@pytest.mark.parametrize("dtype", ["i1", "i2", "i4"])
def test_residuals_are_added(coded, device, dtype):
    codec, data = coded
    rng = np.random.default_rng(1)
    latents = codec.encode(data)
    residuals = rng.integers(-5, 6, (COUNT, 21)).astype(dtype)
    steps = rng.choice((0.5, 1.25), COUNT)
    reader = DeviceReader(codec.on(device), 1.0, BATCH)
    found = decoded(reader, StoredRows(latents, residuals, steps), COUNT)
    y = codec.reconstruct(latents).reshape(COUNT, -1)
    assert_decoded(found.reshape(COUNT, -1), restore(y, residuals, steps, data.dtype), device)
    constant = decoded(reader, StoredRows(None, residuals, steps, 50.0), COUNT)
    expected = restore(np.full((1, 1), 50.0), residuals, steps, data.dtype)
    np.testing.assert_array_equal(constant.reshape(COUNT, -1), expected)


@on_each_device
def test_what_is_kept_as_it_was_stays_so(coded, device):
    codec, data = coded
    reader = DeviceReader(codec.on(device), 1.0, BATCH)
    out = reader.empty(COUNT)
    reader.copy(data, out)
    np.testing.assert_array_equal(reader.to_host(out), data)
    mask = np.random.default_rng(0).random(data.shape) < 0.2
    others = data[::-1].copy()
    reader.patch(np.flatnonzero(mask), others[mask], out)
    np.testing.assert_array_equal(reader.to_host(out), np.where(mask, others, data))
    reader.patch(np.empty(0, np.int64), others[:0].ravel(), out)
    np.testing.assert_array_equal(reader.to_host(out), np.where(mask, others, data))


@on_each_device
def test_rows_come_in_any_order(coded, device):
    codec, data = coded
    reader = DeviceReader(codec.on(device), 1.0, BATCH)
    out, rows = reader.empty(COUNT), np.array([5, 0, 5, 36, 1])
    reader.copy(data, out)
    np.testing.assert_array_equal(reader.to_host(reader.take(out, rows)), data[rows])


@on_each_device
def test_any_library_may_have_the_samples(coded, device):
    codec, data = coded
    reader = DeviceReader(codec.on(device), 1.0, BATCH)
    out = reader.empty(COUNT)
    reader.copy(data, out)
    shared = torch.from_dlpack(out)
    assert shared.data_ptr() == out.data_ptr()
    assert shared.device.type == device
    if device == "cpu":
        np.testing.assert_array_equal(np.from_dlpack(out), data)


@on_each_device
def test_a_device_that_decodes_otherwise_than_certified_is_refused(digits_codec, digits, device):
    certificate = read_certificate(digits_codec.files)
    false = dataclasses.replace(certificate, reference=certificate.reference + 100)
    latents = digits_codec.encode(digits[:3])
    decoded(DeviceReader(digits_codec.on(device), 1.0, BATCH, certificate), StoredRows(latents), 3)
    reader = DeviceReader(digits_codec.on(device), 1.0, BATCH, false)
    with pytest.raises(GuaranteeViolated, match=f"{device} decodes the codec's probes"):
        decoded(reader, StoredRows(latents), 3)


@on_each_device
def test_threads_share_a_reader(digits_codec, digits, device):
    reader = DeviceReader(digits_codec.on(device), 1.0, BATCH)
    parts = np.split(digits_codec.encode(digits[:600]), 30)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda part: decoded(reader, StoredRows(part), 20), parts))
    assert_decoded(np.concatenate(found), digits_codec.decode(np.concatenate(parts)), device)


@needs_gpu
def test_the_results_of_two_calls_do_not_share_memory(digits_codec, digits):
    reader = DeviceReader(digits_codec.on("cuda"), 1.0, BATCH)
    one, other = (reader.empty(4) for _ in range(2))
    reader.copy(digits[:4], one)
    reader.copy(digits[4:8], other)
    np.testing.assert_array_equal(one.cpu().numpy(), digits[:4])
