"""Stores of every guarantee, written by a GPU: readers of both devices get what was promised."""

import numpy as np
import pytest

import engine
from engine.runtime.device_encoding import DeviceEncoder
from engine.runtime.measured_encoding import open_measured_encoder

from ..devices import assert_same_latents, needs_gpu
from .promises import broken

pytestmark = needs_gpu


@pytest.mark.parametrize("threads", [1, 3])
def test_a_store_keeps_its_promise_on_both_devices(kept, tmp_path, threads):
    path = tmp_path / "written.zarr"
    kept.compress(path, device="cuda", threads=threads)
    for device in ("cuda", "cpu"):
        assert engine.verify(path, against=kept.data, device=device).problems == ()
        with engine.open(path, device=device) as store:
            assert broken(store[:], kept.data, store.guarantee) == 0


def test_a_store_without_guarantee_holds_the_latents_of_the_cpu(digits, digits_codec, tmp_path):
    stores = {}
    for device in ("cpu", "cuda"):
        path = tmp_path / f"{device}.zarr"
        engine.compress(digits, path, digits_codec.on(device), device=device, shard_samples=512)
        with engine.open(path, device="cpu") as store:
            stores[device] = store.latents[:], dict(store.quality)
    (latents, quality), (expected, expected_quality) = stores["cuda"], stores["cpu"]
    assert_same_latents(latents, expected, "cuda")
    for name, values in quality.items():
        np.testing.assert_allclose(values, expected_quality[name], rtol=0.1, atol=1)


def test_jobs_encode_and_measure_on_the_device(digits_codec):
    encoder = open_measured_encoder(digits_codec.on("cuda"), 1.0, measured=True)
    assert isinstance(encoder, DeviceEncoder)
