"""Whether a store's codec may decode it, on this device where something is guaranteed."""

from __future__ import annotations

import math

import numpy as np

from engine.codec.certificate import Certificate, read_certificate
from engine.errors import CorruptCodec, CorruptStore
from engine.runtime.codec import Codec
from engine.runtime.drift import certify
from engine.store.contents import StoreContents
from engine.store.plan import LATENTS


def check_codec(contents: StoreContents, codec: Codec) -> None:
    """Refuse a store whose codec makes something else than it holds.

    Raises:
        CorruptStore: it does.
    """
    latents, expected = contents.arrays[LATENTS], codec.manifest.latent
    found = (contents.sample_shape, contents.dtype, latents.item_shape, latents.dtype)
    if found != (codec.sample_shape, codec.dtype, expected.shape, expected.dtype):
        raise CorruptStore(
            f"{contents.objects}: holds {contents.dtype} samples of shape {contents.sample_shape} "
            f"as {latents.dtype} of shape {latents.item_shape}, its codec makes {codec.dtype} of "
            f"shape {codec.sample_shape} of {expected.dtype} of shape {expected.shape}"
        )


def certify_store(contents: StoreContents, codec: Codec) -> float | None:
    """Decode the probes of a store, where its guarantee leans on the decoder; how far they are off.

    None where nothing leans on it: no guarantee, or every shard keeps it without the network.

    Raises:
        CorruptStore: the guarantee has no certificate, or a damaged one.
        GuaranteeViolated: this device decodes too far from the certificate's reference.
    """
    certificate = store_certificate(contents)
    if certificate is None:
        return None
    return certify(codec, certificate, str(contents.objects))


def store_certificate(contents: StoreContents) -> Certificate | None:
    """The drift certificate that a store's guarantee rests on; None where it needs none.

    Raises:
        CorruptStore: it is missing or damaged.
    """
    uses_network = any(mode.needs_network for mode in contents.modes)
    if not (contents.guarantee.needs_certificate and uses_network):
        return None
    files = contents.codec_files
    try:
        if contents.certificate is None:
            certificate = read_certificate(files)
        else:
            elements = math.prod(files.manifest.sample.shape)
            latent = files.manifest.latent
            certificate = Certificate.from_bytes(contents.certificate, latent, elements)
    except CorruptCodec as error:
        raise CorruptStore(f"{contents.objects}: {error}") from None
    step = float(np.float32(contents.attributes["step"]))
    if certificate is None or certificate.step != step:
        raise CorruptStore(
            f"{contents.objects}: its guarantee rests on no drift certificate for step {step:g}"
        )
    return certificate
