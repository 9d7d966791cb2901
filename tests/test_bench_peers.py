"""The peers that the benchmark measures against, and the data it measures on."""

import numpy as np
import pytest

from bench.bounded_peers import PEERS, Masked, Quantised, Refused, Zstd, installed, max_abs_error
from bench.fields import land_mask, turbulent_fields
from bench.layouts import MOSAIC, POSITION_MAJOR, SEQUENCE, STACK, VOLUME, lay, unlay

HERE = [pytest.param(peer, id=peer.name) for peer in PEERS if installed(peer)]
FIELDS = turbulent_fields(6, seed=1)
IMAGES = np.random.default_rng(0).integers(0, 200, (6, 5, 7, 3), np.uint8)


@pytest.mark.parametrize("layout", [SEQUENCE, POSITION_MAJOR, VOLUME, STACK, MOSAIC])
@pytest.mark.parametrize("samples", [FIELDS, IMAGES, IMAGES[:5, ..., 0]])
def test_a_layout_is_undone(samples, layout):
    laid = lay(samples, layout)
    assert laid.flags.c_contiguous
    np.testing.assert_array_equal(unlay(laid, layout, samples.shape), samples)


def test_a_mosaic_shows_samples_side_by_side():
    mosaic = lay(IMAGES, MOSAIC)
    assert mosaic.shape == (2 * 5, 3 * 7, 3)
    np.testing.assert_array_equal(mosaic[:5, 7:14], IMAGES[1])


@pytest.mark.parametrize("peer", HERE)
@pytest.mark.parametrize(
    ("samples", "bound"), [(FIELDS, 0.01), (IMAGES, 2.0), (IMAGES[..., 0], 0.0)]
)
def test_a_peer_holds_its_bound(peer, samples, bound):
    for layout in peer.layouts:
        array = lay(samples, layout)
        try:
            encoded = peer.encode(array, bound)
        except Refused:
            assert peer.name == "JPEG XL" and samples.dtype.kind == "f"
            continue
        error = max_abs_error(array, peer.decode(encoded, array.shape, array.dtype))
        assert error <= (0 if peer.lossless else bound)


@pytest.mark.parametrize("fill_value", [np.nan, -9999.0])
def test_a_mask_apart_comes_back_bit_for_bit(fill_value):
    land = np.broadcast_to(land_mask(), FIELDS.shape)
    fields = np.where(land, np.float32(fill_value), FIELDS)
    peer = Masked(Quantised(Zstd(3)), fill_value)
    decoded = peer.decode(peer.encode(fields, 0.1), fields.shape, fields.dtype)
    assert decoded[land].tobytes() == fields[land].tobytes()
    assert 0 < max_abs_error(fields, decoded) <= 0.1


def test_quantisation_refuses_what_it_cannot_hold():
    with pytest.raises(Refused, match="NaN"):
        Quantised(Zstd(3)).encode(np.array([1, np.nan], np.float32), 0.1)
    with pytest.raises(Refused, match="precision"):
        Quantised(Zstd(3)).encode(np.array([1e9, 1e9], np.float32), 1.0)


def test_a_lost_mask_is_an_infinite_error():
    original = np.array([1, np.nan], np.float32)
    assert max_abs_error(original, np.array([1.5, np.nan], np.float32)) == 0.5
    assert max_abs_error(original, np.array([1, 0], np.float32)) == np.inf
    assert max_abs_error(original, np.array([np.nan, np.nan], np.float32)) == np.inf


def test_fields_have_the_spectrum_of_turbulence_and_move_slowly():
    fields = turbulent_fields(200, seed=2)
    np.testing.assert_array_equal(fields[:3], turbulent_fields(200, seed=2)[:3])
    power = (np.abs(np.fft.fft2(fields)) ** 2).mean(axis=0)[0]
    slope = np.log(power[8] / power[2]) / np.log(8 / 2)
    assert -3.2 < slope < -2.4  # of one mode: k^-5/3 over the 2 pi k of its ring, and dissipation
    assert np.corrcoef(fields[0].ravel(), fields[1].ravel())[0, 1] > 0.8
    assert 0.25 < land_mask().mean() < 0.35
