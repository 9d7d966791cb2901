"""What every codec of others promises, held by the real ones."""

from itertools import pairwise

import numpy as np
import pytest

from bench.fields import land_mask, turbulent_fields
from engine.comparing.fidelity import max_abs_error
from engine.comparing.layouts import MOSAIC, allows, lay
from engine.comparing.peers.blosc import Blosc
from engine.comparing.peers.blosc2 import Blosc2
from engine.comparing.peers.jpeg import Jpeg
from engine.comparing.peers.jpeg_2000 import Jpeg2000
from engine.comparing.peers.jpeg_xl import JpegXl, LosslessJpegXl
from engine.comparing.peers.masked import Masked
from engine.comparing.peers.pcodec import Pcodec
from engine.comparing.peers.peer import Refused
from engine.comparing.peers.quantised import Quantised
from engine.comparing.peers.sperr import Sperr
from engine.comparing.peers.sz3 import Sz3
from engine.comparing.peers.webp import WebP
from engine.comparing.peers.zfp import BoundedZfp, Zfp
from engine.comparing.peers.zstd import Zstd

PEERS = (
    Zstd(3), Blosc(), Blosc2(), Pcodec(), LosslessJpegXl(), Sz3(), Zfp(), BoundedZfp(), Sperr(),
    Quantised(Zstd(3)), Quantised(Pcodec()), Quantised(LosslessJpegXl()),
)  # fmt: skip
IMAGE_PEERS = (Jpeg(), Jpeg2000(), WebP(), JpegXl())
FIELDS = turbulent_fields(6, seed=1)
IMAGES = np.random.default_rng(0).integers(0, 200, (6, 5, 7, 3), np.uint8)


def those_here(peers):
    return [pytest.param(peer, id=peer.name) for peer in peers if peer.is_installed]


@pytest.mark.parametrize("peer", those_here(PEERS))
@pytest.mark.parametrize(
    ("samples", "bound"),
    [
        (FIELDS, 0.01),
        (FIELDS.astype(np.float64), 1e-5),
        (FIELDS[:1], 0.1),
        (FIELDS.reshape(6, -1), 0.1),
        (IMAGES, 2.0),
        (IMAGES[..., 0], 0.0),
    ],
)
def test_a_peer_holds_its_bound(peer, samples, bound):
    for layout in peer.layouts:
        array = lay(samples, layout)
        try:
            encoded = peer.encode(array, bound)
        except Refused:
            assert "JPEG XL" in peer.name and samples.dtype.kind == "f"
            continue
        error = max_abs_error(array, peer.decode(encoded, array.shape, array.dtype))
        assert error <= (0 if peer.lossless else bound)


@pytest.mark.parametrize("peer", those_here(IMAGE_PEERS))
@pytest.mark.parametrize("channels", [(), (3,)])
def test_the_sweep_of_an_image_codec_goes_from_coarse_to_fine(peer, channels, digits):
    mosaic = lay(digits[:64], MOSAIC)
    image = mosaic if not channels else np.stack([mosaic, mosaic // 2, mosaic // 3], axis=-1)
    errors = [
        np.square(peer.decode(peer.encode(image, s), image.shape, image.dtype) - 1.0 * image).mean()
        for s in peer.sweep
    ]
    assert errors[0] > 4 * errors[-1]
    assert all(later < 1.05 * earlier for earlier, later in pairwise(errors))


@pytest.mark.parametrize("peer", those_here(IMAGE_PEERS))
def test_image_codecs_refuse_floats(peer):
    with pytest.raises(Refused, match="float32"):
        peer.encode(FIELDS[0], peer.sweep[0])


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


@pytest.mark.skipif(not Sperr().is_installed, reason="imagecodecs is not installed")
def test_sperr_refuses_a_line():
    with pytest.raises(Refused, match="dimensions"):
        Sperr().encode(FIELDS[0, :1], 0.1)


def test_volumes_go_to_codecs_of_volumes():
    assert not any(allows(layout, (4, 5, 6, 7)) for layout in Jpeg().layouts)
    assert all(allows(layout, (4, 5, 6, 7)) for layout in Sz3().layouts)
