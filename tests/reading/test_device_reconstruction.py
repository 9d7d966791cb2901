"""Samples in memory of a device are those that the store returns on the host."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import engine
from engine.errors import CorruptStore, GuaranteeViolated
from engine.reading.device_reconstruction import DeviceReconstruction
from engine.runtime.codec import Codec
from engine.store.ledger import Mode

from ..devices import on_each_device
from ..kept_stores import CHUNK_SAMPLES, SAMPLES, SHAPE

pytest.importorskip("torch")

CACHE_BYTES = 1 << 20
ROWS = {
    "all": np.arange(SAMPLES),
    "none": np.arange(0),
    "one": np.array([13]),
    "any order, repeated": np.random.default_rng(0).integers(0, SAMPLES, 40),
    "ends of chunks": np.arange(CHUNK_SAMPLES - 1, SAMPLES, CHUNK_SAMPLES),
}


def on_device(store, device):
    return DeviceReconstruction(
        store.contents, Codec(store.contents.codec_files, device), CACHE_BYTES
    )


def same_bits(one, other):
    bits = f"u{one.dtype.itemsize}"
    return np.array_equal(np.ascontiguousarray(one).view(bits), other.view(bits))


@on_each_device
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_samples_are_those_of_the_host(kept, device, rows):
    with engine.open(kept.path, "cpu") as store:
        samples, expected = on_device(store, device)(rows), store.read(rows)
        guarantee = store.guarantee
    assert samples.device.type == device
    found = samples.cpu().numpy()
    assert (found.dtype, found.shape) == (expected.dtype, (len(rows), *SHAPE))
    if device == "cpu" or guarantee.kind == "lossless":
        assert same_bits(found, expected)
        return
    # Floats of two devices differ in their last bits; what is no number is kept bit for bit.
    ordinary = np.isfinite(expected)
    assert same_bits(found[~ordinary], expected[~ordinary])
    np.testing.assert_allclose(found[ordinary], expected[ordinary], rtol=1e-4, atol=1e-4)
    if guarantee.max_error is not None:
        error = np.abs(found.astype("f8") - kept.data[rows])[ordinary]
        assert error.max(initial=0) <= guarantee.max_error


@on_each_device
def test_blocks_smaller_than_what_was_asked_for(kept, device):
    with engine.open(kept.path, "cpu") as store:
        reconstruct, expected = on_device(store, device), store.read(slice(None))
        reconstruct._codec.__dict__["batch_samples"] = 5
        found = reconstruct(np.arange(SAMPLES)).cpu().numpy()
    np.testing.assert_allclose(
        found.astype(float), expected.astype(float), rtol=1e-4, atol=1e-4, equal_nan=True
    )


@on_each_device
def test_threads_share_it(kept, device):
    with engine.open(kept.path, "cpu") as store:
        reconstruct, expected = on_device(store, device), store.read(slice(None))
        rows = [np.roll(np.arange(SAMPLES), shift) for shift in range(12)]
        with ThreadPoolExecutor(4) as pool:
            found = [samples.cpu().numpy() for samples in pool.map(reconstruct, rows)]
    for samples, chosen in zip(found, rows, strict=True):
        np.testing.assert_allclose(
            samples.astype(float), expected[chosen].astype(float), rtol=1e-4, atol=1e-4,
            equal_nan=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def predicted(make_codec, tmp_path_factory):
    """A lossless store whose samples are residuals of what the network returns, and the samples."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("predicted") / "it.zarr"
    waves = rng.normal(size=(90, 2)) @ rng.normal(size=(2, 600)) * 2000
    samples = np.rint(waves + rng.normal(size=waves.shape)).astype(np.int16).reshape(90, 20, 30)
    codec = make_codec(samples, 2, 16)
    engine.compress(samples, path, codec, lossless=True, device="cpu", chunk_samples=32)
    return path, samples


@on_each_device
def test_residuals_of_the_network_are_lossless(predicted, device):
    path, samples = predicted
    rows = np.array([70, 3, 3, 89])
    with engine.open(path, "cpu") as store:
        assert store.contents.modes == {Mode.RESIDUALS}
        np.testing.assert_array_equal(on_device(store, device)(rows).cpu().numpy(), samples[rows])


@on_each_device
def test_a_device_that_decodes_a_lossless_store_otherwise_is_found_out(
    predicted, device, monkeypatch
):
    with engine.open(predicted[0], "cpu") as store:
        reconstruct = on_device(store, device)
        decode = reconstruct._device.decode

        def decode_otherwise(stored, out):
            decode(stored, out)
            out.view(-1)[0] += 1

        monkeypatch.setattr(reconstruct._device, "decode", decode_otherwise)
        with pytest.raises(GuaranteeViolated, match=f"on {device} to other samples"):
            reconstruct(np.array([1]))


@on_each_device
def test_damage_is_found(kept_store, device, tmp_path):
    path = shutil.copytree(kept_store("max error").path, tmp_path / "damaged.zarr")
    shard = next(path.glob("data/part-0/latents/c/0/*"))
    content = bytearray(shard.read_bytes())
    content[3] ^= 1
    shard.write_bytes(content)
    with engine.open(path, "cpu") as store, pytest.raises(CorruptStore):
        on_device(store, device)(np.arange(SAMPLES))


@on_each_device
@pytest.mark.parametrize("indices", [[3, 0, 3], slice(1, None, 4), 2, []], ids=str)
def test_a_store_reads_onto_a_device(kept, device, indices):
    with engine.open(kept.path, "cpu") as store:
        found = store.read(indices, device=device)
        expected = on_device(store, device)(np.arange(SAMPLES)).cpu().numpy()[indices]
    assert found.device.type == device
    assert same_bits(found.cpu().numpy(), expected.reshape(-1, *SHAPE))
