"""What latents cost in a store, beside the entropy of their channels: all that is stored counts."""

import functools

import numpy as np
import pytest

import engine
from engine.entropy import entropy_bits
from engine.geometry import RowGrid, plan_grid
from engine.jobs.choose_latent_coding import choose_latent_coding
from engine.sources import spread_rows
from engine.store.arrays import ShardedArray
from engine.store.coding import RANS, Coded

SAMPLES = 102_400
# Standard deviations of the first and the last channel, and channels, by bytes a sample.
RATES = {3: (0.8, 0.1, 40), 9: (2.0, 0.1, 64), 27: (8.0, 0.15, 96)}


@functools.cache
def latents(rate, dtype, samples=SAMPLES):
    """Rounded Laplacian channels, whose spread drifts by a tenth from first to last sample."""
    first, last, channels = RATES[rate]
    rng = np.random.default_rng(0)
    values = rng.standard_exponential((samples, channels), np.float32)
    values *= rng.choice(np.float32([-1, 1]), values.shape)
    values *= np.geomspace(first, last, channels, dtype=np.float32) / np.sqrt(2)
    values *= np.linspace(0.95, 1.05, samples, dtype=np.float32)[:, None]
    limit = np.iinfo(dtype).max
    return np.clip(np.rint(values), -limit, limit).astype(dtype)


def stored(values, grid):
    """Bytes of the array's metadata and shard objects, and its coding, as a job chooses it."""
    size = grid.chunk_samples
    places = spread_rows(grid.samples // size, 16)
    chunks = [values[place * size : (place + 1) * size] for place in places]
    coding = choose_latent_coding(chunks, grid.samples)
    array = ShardedArray(
        "latents", grid, values.shape[1:], values.dtype, 0, coded=Coded(coding=coding)
    )
    objects = [
        len(array.encode_shard(values[slice(*grid.shard_rows(shard))]).content)
        for shard in range(grid.shard_count)
    ]
    return len(array.metadata()) + sum(objects), coding


def entropy(values):
    return len(values) * entropy_bits(values).sum() / 8


@pytest.mark.parametrize("rate", RATES)
def test_stores_are_within_five_percent_of_the_entropy(rate):
    values = latents(rate, np.int16)
    assert entropy(values) == pytest.approx(rate * SAMPLES, rel=0.1)
    size, coding = stored(values, plan_grid(SAMPLES, 784, values[0].nbytes))
    assert coding.coder == RANS
    assert size <= 1.05 * entropy(values)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("chunk_samples", [64, 128, 256])
def test_small_chunks_are_within_eight_percent(rate, chunk_samples):
    values = latents(rate, np.int16)
    size, coding = stored(values, RowGrid(SAMPLES, chunk_samples, 32 * chunk_samples))
    assert coding.coder == RANS
    assert size <= 1.08 * entropy(values)


@pytest.mark.slow
@pytest.mark.parametrize("chunk_samples", [None, 64, 256])
def test_stores_of_a_trained_codec(chunk_samples, trained_codec, many_digits, tmp_path):
    path = tmp_path / "digits.zarr"
    engine.compress(
        many_digits, path, trained_codec, chunk_samples=chunk_samples, quality=False, device="cpu"
    )
    with engine.open(path, device="cpu") as store:
        size = store.contents.stored_bytes("latents")
        assert not store.contents.head.portable
        limit = 1.05 if chunk_samples is None else 1.08
        assert size <= limit * entropy(store.latents[:])


@pytest.fixture(scope="module")
def trained_codec(digits, tmp_path_factory):
    """A codec trained for rate, at the lower of the rates that are aimed at."""
    path = tmp_path_factory.mktemp("codec") / "transform.codec"
    return engine.train(digits, path, arch="transform", target_psnr=20.7, device="cpu")


@pytest.fixture(scope="module")
def many_digits(digits):
    """Digits moved by up to two pixels and made fainter, 102,400 of them."""
    rng = np.random.default_rng(0)
    moved = [
        np.roll(digits, tuple(rng.integers(-2, 3, 2)), (1, 2))
        for _ in range(-(-SAMPLES // len(digits)))
    ]
    samples = np.concatenate(moved)[:SAMPLES]
    return (samples * rng.uniform(0.7, 1, (SAMPLES, 1, 1))).astype(np.uint8)
