"""Which networks and latents a store keeps, what they cost, and who can read it without them."""

import concurrent.futures
import multiprocessing
import operator
import pickle

import numpy as np
import pytest

import engine
from engine.errors import InvalidInput

from ..kept_stores import object_names, rough
from ..laws import same_values


def networks(path):
    files = [name.split("/") for name in object_names(path) if name.startswith("codecs/")]
    return {parts[2] for parts in files if len(parts) > 3} - {"manifest.json"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("none", {"encoder.onnx", "decoder.onnx"}),
        ("gaps", {"encoder.onnx", "decoder.onnx"}),
        ("max error", {"encoder.onnx", "decoder.onnx", "probes.bin"}),
        ("lossless", {"encoder.onnx", "decoder.onnx", "probes.bin"}),
        ("quantised", set()),
        ("verbatim", set()),
    ],
)
def test_the_networks_that_a_store_keeps(kind, expected, kept_store):
    assert networks(kept_store(kind).path) == expected


def test_what_needs_no_network_costs_none(kept_store):
    kept = kept_store("quantised")
    with engine.open(kept.path, device="cpu") as store:
        summary = store.summary
        sizes = [(kept.path / n).stat().st_size for n in object_names(kept.path)]
        assert summary.stored_bytes == sum(sizes)
        assert summary.latent_bytes == 0
        assert summary.codec_bytes < 4096  # the manifest, and metadata
        assert np.nanmax(np.abs(store[:16] - kept.data[:16])) <= 0.01


@pytest.mark.parametrize("kind", ["quantised", "verbatim"])
def test_latents_that_are_not_stored_are_a_clear_error(kind, kept_store):
    with engine.open(kept_store(kind).path, device="cpu") as store:
        for read in (lambda: store.latents, store.read_latents, lambda: store.read_latents([3])):
            with pytest.raises(InvalidInput, match="shard 0 was stored without latents"):
                read()


@pytest.mark.parametrize("kind", ["none", "gaps", "max error", "lossless", "min PSNR"])
def test_latents_that_are_kept_are_those_of_the_codec(kind, kept_store):
    kept = kept_store(kind)
    with engine.open(kept.path, device="cpu") as store:
        assert same_values(store.latents[:], store.read_integer_latents(np.arange(22)))
        whole = np.isfinite(kept.data).reshape(22, -1).all(axis=1)
        assert same_values(store.latents[:][whole], kept.codec.encode(kept.data[whole]))
        assert store.read_latents().shape == (22, 2)


def test_noise_is_no_larger_with_a_network_at_hand(make_codec, tmp_path):
    """All bytes counted, a network that doesn't pay is left out: at most 1 % over the plain way."""
    data = np.concatenate([rough(seed) for seed in range(40)])
    sizes = {"chunk_samples": 64, "shard_samples": 256}
    stored = []
    for rank in (2, 8):
        path = tmp_path / f"{rank}.zarr"
        codec = make_codec(data, rank, 16)
        report = engine.compress(data, path, codec, max_error=0.01, keep_latents=False, **sizes)
        assert networks(path) == set()
        stored.append(report.stored_bytes)
    assert max(stored) < 1.01 * min(stored)


def test_every_store_survives_pickling(kept):
    with engine.open(kept.path, device="cpu") as store:
        copy = pickle.loads(pickle.dumps(store))  # noqa: S301
        assert same_values(copy[:], store[:])


@pytest.mark.parametrize("kind", ["max error", "quantised"])
def test_stores_with_a_guarantee_can_be_sent_to_other_processes(kind, kept_store):
    spawn = multiprocessing.get_context("spawn")
    with (
        engine.open(kept_store(kind).path, device="cpu") as store,
        concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool,
    ):
        sent = [pool.submit(operator.getitem, store, slice(row, row + 8)) for row in (0, 8)]
        for row, found in zip((0, 8), sent, strict=True):
            assert same_values(found.result(), store[row : row + 8])
