"""What latents cost in a store, beside the entropy of their channels: all that is stored counts."""

import numpy as np
import pytest

from bench.entropy import RATES, SAMPLES, StoredLatents, laplacian_latents, trained_latents
from engine.entropy import entropy_bits
from engine.store.coding import RANS


@pytest.mark.parametrize("rate", RATES)
def test_stores_are_within_five_percent_of_the_entropy(rate):
    latents = laplacian_latents(rate)
    assert entropy_bits(latents).sum() / 8 == pytest.approx(rate, rel=0.1)
    stored = StoredLatents.of(latents)
    assert stored.coding.coder == RANS
    assert stored.over_entropy() <= 1.05


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("chunk_samples", [64, 128])
def test_small_chunks_are_within_eight_percent(rate, chunk_samples):
    stored = StoredLatents.of(laplacian_latents(rate), chunk_samples)
    assert (stored.coding.coder, stored.grid.chunk_samples) == (RANS, chunk_samples)
    assert stored.over_entropy() <= 1.08


def test_latents_of_eight_bits_likewise():
    latents = laplacian_latents(9).astype(np.int8)
    assert StoredLatents.of(latents).over_entropy() <= 1.05


@pytest.fixture(scope="module")
def digit_latents():
    """Latents of a codec trained for rate, of 102,400 varied digits."""
    return trained_latents("transform", SAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize(("chunk_samples", "limit"), [(None, 1.05), (64, 1.08), (256, 1.08)])
def test_latents_of_a_trained_codec(chunk_samples, limit, digit_latents):
    stored = StoredLatents.of(digit_latents, chunk_samples)
    assert stored.coding.coder == RANS
    assert stored.over_entropy() <= limit
