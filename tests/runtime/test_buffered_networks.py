"""Networks that write into the same buffers again and again, each thread into its own."""

import threading

import numpy as np
import pytest

from engine.errors import InvalidInput
from engine.runtime.buffered_networks import BufferedNetworks

from ..laws import in_threads, same_values

STEP = 0.5


@pytest.fixture(scope="module")
def codec(digits, make_codec):
    return make_codec(digits, 8)


@pytest.fixture(scope="module")
def latents(digits, codec):
    return codec.encode(digits[::50], STEP)


@pytest.fixture(scope="module")
def expected(codec, latents):
    return codec.reconstruct(latents, STEP).reshape(len(latents), -1)


@pytest.fixture
def networks(codec):
    return BufferedNetworks(codec.on("cpu", 1), STEP, 16)


def test_it_decodes_whatever_the_number_of_samples(networks, latents, expected):
    for start, stop in [(0, 1), (1, 2), (0, 16), (16, 32), (40, 47), (9, 10), (50, 66)]:
        found = networks.decode(latents[start:stop])
        np.testing.assert_allclose(found, expected[start:stop], rtol=0, atol=1e-3)


def test_the_buffers_stay(networks, latents):
    first = networks.decode(latents[:16])
    kept = first.copy()
    for count in (16, 1, 5):
        assert np.shares_memory(networks.decode(latents[16 : 16 + count]), first)
    assert not same_values(first, kept)
    assert same_values(networks.decode(latents[:16]), kept)


def test_what_was_encoded_is_decoded_where_it_is(networks, codec, digits):
    expected = codec.encode(digits[:10], STEP)
    for rows in (slice(0, 10), slice(3, 4), slice(0, 10)):
        encoded = networks.encode(digits[rows])
        assert same_values(encoded, expected[rows])
        decoded = networks.decode(encoded).copy()
        assert same_values(encoded, expected[rows])
        assert same_values(networks.decode(encoded.copy()), decoded)


def test_encoding_again_leaves_what_was_decoded(networks, digits):
    decoded = networks.decode(networks.encode(digits[:4]))
    kept = decoded.copy()
    networks.encode(digits[4:8])
    assert same_values(decoded, kept)


def test_latents_need_not_be_contiguous(networks, latents):
    kept = networks.decode(np.ascontiguousarray(latents[:20:2])).copy()
    assert same_values(networks.decode(latents[:20:2]), kept)


def test_threads_have_buffers_of_their_own(networks, latents):
    expected = [networks.decode(latents[start : start + 4]).copy() for start in range(8)]
    failures, begin = [], threading.Barrier(8)

    def decode(start):
        begin.wait()
        for _ in range(200):
            if not same_values(networks.decode(latents[start : start + 4]), expected[start]):
                failures.append(start)

    in_threads(decode, range(8))
    assert failures == []


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), 1e300])
def test_steps_that_are_none(step, codec):
    with pytest.raises(InvalidInput, match="step must be"):
        BufferedNetworks(codec, step, 16)
