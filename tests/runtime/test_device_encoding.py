"""Batches through lanes of a device: padded, of any size, from any thread."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engine.codec.files import DECODER, ENCODER
from engine.errors import CorruptCodec, InvalidInput
from engine.runtime.codec import Codec
from engine.runtime.device_encoding import DeviceEncoder
from engine.runtime.half_encoder import half_encoder
from engine.runtime.measured_encoding import HostEncoder, open_measured_encoder

from ..devices import assert_same_latents, needs_gpu, on_each_device
from .measured_run import run

pytest.importorskip("torch")

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
BATCH = 16


@pytest.fixture(scope="module", params=DTYPES)
def coded(request, make_codec):
    rng = np.random.default_rng(0)
    data = (rng.normal(size=(75, 3, 4, 5)) * 20 + 60).clip(0, 120).astype(request.param)
    return make_codec(data, 12), data


def check(found, codec, samples, device, step=1.0):
    """Latents are those of the CPU, errors those of what this device decodes from them."""
    assert_same_latents(found.latents, codec.encode(samples, step), device)
    decoded, elements = codec.on(device).decode(found.latents, step), np.prod(samples.shape[1:])
    errors = (decoded.astype(float) - samples.astype(float)).reshape(len(samples), elements)
    # Another size of batch may move a float by its last bits, and what is rounded by a whole.
    room = (
        0
        if device == "cpu"
        else np.abs(decoded).max(initial=0) * 1e-5 + (samples.dtype.kind != "f")
    )
    np.testing.assert_allclose(
        found.errors[0], np.abs(errors).max(axis=1, initial=0), rtol=0, atol=room
    )
    if device == "cpu":
        np.testing.assert_allclose(found.errors[1], (errors**2).sum(axis=1), rtol=1e-9)


@on_each_device
@pytest.mark.parametrize("step", [1.0, 3.0])
def test_errors_are_those_of_what_a_reader_gets(coded, device, step):
    codec, data = coded
    encoder = DeviceEncoder(codec.on(device), step, BATCH)
    check(run(encoder, codec, data, measured=True), codec, data, device, step)


@on_each_device
@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH, 75])
def test_every_number_of_samples(digits_codec, digits, device, count):
    encoder = DeviceEncoder(digits_codec.on(device), 1.0, BATCH)
    run(encoder, digits_codec, digits[:75])  # what is left of it in the memory is not seen again
    check(run(encoder, digits_codec, digits[100 : 100 + count]), digits_codec,
          digits[100 : 100 + count], device)  # fmt: skip


def test_it_equals_the_encoder_of_the_host_to_the_last_bit(digits_codec, digits):
    host, device = HostEncoder(digits_codec, 1.0), DeviceEncoder(digits_codec, 1.0, 64)
    for count in (64, 1, 63, 200):
        one, other = (run(kind, digits_codec, digits[-count:]) for kind in (host, device))
        np.testing.assert_array_equal(one.latents, other.latents)
        np.testing.assert_array_equal(one.errors, other.errors)


@on_each_device
def test_without_room_for_errors_the_decoder_is_not_needed(digits_codec, digits, device):
    contents = dict(digits_codec.files.contents)
    contents[digits_codec.manifest.file(DECODER).name] = b"no graph"
    codec = Codec(dataclasses.replace(digits_codec.files, contents=contents), device)
    with pytest.raises(CorruptCodec):
        DeviceEncoder(codec, 1.0, BATCH)
    encoder = DeviceEncoder(codec, 1.0, BATCH, measured=False)
    found = run(encoder, codec, digits[:40], measured=False)
    assert found.errors is None
    assert_same_latents(found.latents, digits_codec.encode(digits[:40]), device)


@on_each_device
def test_threads_have_lanes_of_their_own(digits_codec, digits, device):
    encoder = DeviceEncoder(digits_codec.on(device), 1.0, BATCH)
    parts, together = np.split(digits[:1600], 40), threading.Barrier(4)

    def work(parts):
        together.wait(60)
        return [run(encoder, digits_codec, part) for part in parts]

    with ThreadPoolExecutor(4) as pool:
        found = [one for share in pool.map(work, (parts[i::4] for i in range(4))) for one in share]
    ordered = [part for i in range(4) for part in parts[i::4]]
    for one, part in zip(found, ordered, strict=True):
        check(one, digits_codec, part, device)


@on_each_device
def test_samples_may_be_read_only_or_strided(digits_codec, digits, device):
    encoder = DeviceEncoder(digits_codec.on(device), 1.0, BATCH)
    assert not digits.flags.writeable
    check(run(encoder, digits_codec, digits[:40:3]), digits_codec, digits[:40:3], device)


@on_each_device
def test_a_cheaper_encoder_is_used(digits_codec, digits, device):
    variant = digits_codec.on(device).with_encoder(
        "float16", half_encoder(digits_codec.files.role(ENCODER))
    )
    found = run(DeviceEncoder(variant, 1.0, BATCH), digits_codec, digits[:64])
    expected = variant.encode(digits[:64])
    assert (expected != digits_codec.encode(digits[:64])).any()
    assert_same_latents(found.latents, expected, device)


def test_an_unusable_step_or_network_is_refused(digits_codec):
    with pytest.raises(InvalidInput, match="step"):
        DeviceEncoder(digits_codec, 0.0)
    with pytest.raises(CorruptCodec):
        DeviceEncoder(digits_codec.with_encoder("int8", b"no graph"), 1.0)


@needs_gpu
def test_on_a_gpu_it_is_the_one_that_is_used(digits_codec):
    encoder = open_measured_encoder(digits_codec.on("cuda"), 1.0, measured=True)
    assert isinstance(encoder, DeviceEncoder)
    assert "CUDA graphs" in encoder.description
    assert "no CUDA graphs" not in encoder.description  # dense networks can be captured
