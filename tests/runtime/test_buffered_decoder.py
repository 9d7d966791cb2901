"""A decoder that writes into the same buffers again and again, each thread into its own."""

import threading

import numpy as np
import pytest

from engine.errors import InvalidInput
from engine.runtime.buffered_decoder import BufferedDecoder

from ..laws import same_values

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
def decoder(codec):
    return BufferedDecoder(codec.on("cpu", 1), STEP, 16)


def test_it_decodes_whatever_the_number_of_samples(decoder, latents, expected):
    for start, stop in [(0, 1), (1, 2), (0, 16), (16, 32), (40, 47), (9, 10), (50, 66)]:
        found = decoder(latents[start:stop])
        np.testing.assert_allclose(found, expected[start:stop], rtol=0, atol=1e-3)


def test_the_buffers_stay(decoder, latents):
    first = decoder(latents[:16])
    kept = first.copy()
    for count in (16, 1, 5):
        assert np.shares_memory(decoder(latents[16 : 16 + count]), first)
    assert not same_values(first, kept)
    assert same_values(decoder(latents[:16]), kept)


def test_latents_need_not_be_contiguous(decoder, latents):
    kept = decoder(np.ascontiguousarray(latents[:20:2])).copy()
    assert same_values(decoder(latents[:20:2]), kept)


def test_threads_have_buffers_of_their_own(decoder, latents):
    expected = [decoder(latents[start : start + 4]).copy() for start in range(8)]
    failures, begin = [], threading.Barrier(8)

    def decode(start):
        begin.wait()
        for _ in range(200):
            if not same_values(decoder(latents[start : start + 4]), expected[start]):
                failures.append(start)

    threads = [threading.Thread(target=decode, args=[start]) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), 1e300])
def test_steps_that_are_none(step, codec):
    with pytest.raises(InvalidInput, match="step must be"):
        BufferedDecoder(codec, step, 16)
