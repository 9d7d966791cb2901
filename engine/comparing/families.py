"""The peers that a comparison knows, by the name that a user picks them with."""

from __future__ import annotations

from collections.abc import Iterable

from engine.comparing.array_method import ArrayMethod
from engine.comparing.layouts import MOSAIC, SINGLE
from engine.comparing.method import Method
from engine.comparing.peers.blosc2 import Blosc2
from engine.comparing.peers.faiss import (
    OptimisedProductQuantiser,
    ProductQuantiser,
    RaBitQuantiser,
    ScalarQuantiser,
)
from engine.comparing.peers.jpeg import Jpeg
from engine.comparing.peers.jpeg_2000 import Jpeg2000
from engine.comparing.peers.jpeg_xl import JpegXl, LosslessJpegXl
from engine.comparing.peers.pcodec import Pcodec
from engine.comparing.peers.peer import Peer
from engine.comparing.peers.quantised import Quantised
from engine.comparing.peers.sperr import Sperr
from engine.comparing.peers.sz3 import Sz3
from engine.comparing.peers.webp import WebP
from engine.comparing.peers.zfp import Zfp
from engine.comparing.peers.zstd import Zstd


def _both(*peers: Peer) -> tuple[Method, ...]:
    """Image codecs for mosaics of a chunk and for samples alone, named by their one layout."""
    return tuple(ArrayMethod(peer, f"{peer.name} {peer.layouts[0]}") for peer in peers)


FAMILIES: dict[str, tuple[Method, ...]] = {
    "zstd": (ArrayMethod(Zstd(3)), ArrayMethod(Zstd(19))),
    "blosc2": (ArrayMethod(Blosc2()),),
    "pcodec": (ArrayMethod(Pcodec()),),
    "zfp": (ArrayMethod(Zfp()),),
    "sz3": (ArrayMethod(Sz3()),),
    "sperr": (ArrayMethod(Sperr()),),
    "jpeg": _both(Jpeg(MOSAIC), Jpeg(SINGLE)),
    "jpeg-2000": _both(Jpeg2000(MOSAIC), Jpeg2000(SINGLE)),
    "webp": _both(WebP(MOSAIC), WebP(SINGLE)),
    "jpeg-xl": (
        *_both(JpegXl(MOSAIC), JpegXl(SINGLE)),
        ArrayMethod(LosslessJpegXl(MOSAIC, SINGLE), "JPEG XL lossless"),
    ),
    "quantised": (
        ArrayMethod(Quantised(LosslessJpegXl()), "quantised + JPEG XL"),
        ArrayMethod(Quantised(Zstd(19)), "quantised + zstd-19"),
    ),
    "faiss": (
        ScalarQuantiser(),
        ProductQuantiser(),
        OptimisedProductQuantiser(),
        RaBitQuantiser(),
    ),
}


def methods_of(families: Iterable[str] = ()) -> tuple[Method, ...]:
    """The methods of some families, of all where none is named."""
    return tuple(method for name in families or FAMILIES for method in FAMILIES[name])
