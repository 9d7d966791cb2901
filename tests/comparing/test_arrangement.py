"""Chunks before a peer: laid out, with and without their mean field."""

import numpy as np
import pytest

from bench.fields import turbulent_fields
from engine.comparing.arrangement import Arrangement, arrangements
from engine.comparing.fidelity import max_abs_error
from engine.comparing.layouts import MOSAIC, SEQUENCE, SINGLE, STACK
from engine.comparing.peers.jpeg import Jpeg
from engine.comparing.peers.quantised import Quantised
from engine.comparing.peers.zstd import Zstd

FIELDS = turbulent_fields(8, seed=1)
MEAN = np.linspace(-300, 300, 64 * 64, dtype=np.float32).reshape(64, 64)


@pytest.mark.parametrize(
    ("chunk", "bound"),
    [
        (FIELDS + MEAN, 0.01),
        ((FIELDS + MEAN).astype(np.float64), 1e-9),
        ((FIELDS + MEAN).astype(np.float16), 1.0),
        (np.rint(FIELDS * 50 + MEAN).astype(np.int16), 3.0),
    ],
)
def test_a_bound_holds_though_the_mean_is_taken_off(chunk, bound):
    peer = Quantised(Zstd(3))
    plain, without = (
        Arrangement(SEQUENCE, mean).encode(peer, chunk, bound) for mean in (None, MEAN)
    )
    decoded = Arrangement(SEQUENCE, MEAN).decode(peer, without, chunk.shape, chunk.dtype)
    assert decoded.dtype == chunk.dtype
    assert 0 < max_abs_error(chunk, decoded) <= bound
    assert len(without) < len(plain)


def test_integers_without_their_mean_come_back_bit_for_bit():
    rng = np.random.default_rng(0)
    chunk = rng.integers(0, 256, (8, 5, 6), np.uint8)
    arrangement = Arrangement(STACK, rng.uniform(0, 255, (5, 6)).astype(np.float32))
    decoded = arrangement.decode(
        Zstd(3), arrangement.encode(Zstd(3), chunk, 0), chunk.shape, chunk.dtype
    )
    np.testing.assert_array_equal(decoded, chunk)


def test_samples_alone_are_found_again(digits):
    peer, arrangement = Jpeg(SINGLE), Arrangement(SINGLE, None)
    if not peer.is_installed:
        pytest.skip("imagecodecs is not installed")
    encoded = arrangement.encode(peer, digits[:5], 90)
    decoded = arrangement.decode(peer, encoded, digits[:5].shape, digits.dtype)
    alone = [
        arrangement.decode(peer, arrangement.encode(peer, d[None], 90), (1, 28, 28), digits.dtype)
        for d in digits[:5]
    ]
    np.testing.assert_array_equal(decoded, np.concatenate(alone))


def test_the_mean_is_offered_where_it_can_be_put_back():
    floats, integers = np.dtype(np.float32), np.dtype(np.uint8)

    def means(peer, dtype, mean=MEAN):
        return {arrangement.mean is not None for arrangement in arrangements(peer, mean, dtype)}

    assert means(Quantised(Zstd(3)), floats) == means(Zstd(3), integers) == {True, False}
    assert means(Zstd(3), floats) == means(Jpeg(MOSAIC), integers) == {False}
    assert means(Quantised(Zstd(3)), floats, np.full((64, 64), np.nan, np.float32)) == {False}
