"""The drift certificate that a job with a guarantee writes under."""

from __future__ import annotations

import numpy as np

from engine.codec.certificate import Certificate, read_certificate
from engine.codec.files import DECODER
from engine.runtime.certification import build_certificate, rescaled
from engine.runtime.codec import Codec


def certificate_at(codec: Codec, step: float) -> Certificate | None:
    """The codec's certificate, or one of the same probes at another `step`; None if there is none.

    A copy of the codec without its decoder decodes nothing, and needs none.

    Raises:
        CorruptCodec: the codec's own is damaged.
    """
    if codec.manifest.file(DECODER).name not in codec.files.contents:
        return None
    certificate = read_certificate(codec.files)
    if certificate is None or certificate.step == float(np.float32(step)):
        return certificate
    latents = rescaled(certificate.latents, certificate.step / float(np.float32(step)))
    made = build_certificate(codec.files, latents, step)
    return made if isinstance(made, Certificate) else None
