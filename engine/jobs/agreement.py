"""Whether what was exported is what was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.codec.files import CodecFiles
from engine.errors import GuaranteeViolated
from engine.runtime.codec import Codec
from engine.sources import Source

if TYPE_CHECKING:
    from engine.training import Trained

_CHECKED_SAMPLES = 256
# Of the range of a latent, and of that of the data: many times what float32 networks differ by.
_LATENT_TOLERANCE = 1e-4
_RECONSTRUCTION_TOLERANCE = 1e-4


def held_out_samples(trained: Trained, source: Source, count: int) -> NDArray[Any]:
    """Return `count` of the samples that training held out, or all, raw `(n, *shape)`."""
    rows = trained.validation_rows[:count]
    return np.concatenate([source.read(int(row), int(row) + 1) for row in rows])


def check_agreement(trained: Trained, files: CodecFiles, source: Source) -> None:
    """Compare torch with the exported codec on held-out samples.

    Latents may lie 10^-4 of their range from torch's before they are rounded, and reconstructions
    of the same latents 10^-4 of the data's range.

    Raises:
        GuaranteeViolated: they differ by more.
    """
    from engine.training import torch_latents, torch_reconstruction

    samples = held_out_samples(trained, source, _CHECKED_SAMPLES)
    codec, sample, latent = Codec(files, "cpu"), files.manifest.sample, files.manifest.latent
    encoded = codec.encode(samples)
    scale, offset = latent.per_channel(latent.scale), latent.per_channel(latent.offset)
    exact = (torch_latents(trained.encoder, sample.to_network(samples)) - offset) / scale
    # A value on the border of two integers may be rounded either way: that is half a step off.
    apart = np.abs(exact.clip(-latent.limit, latent.limit) - encoded.astype(np.float32)) - 0.5
    allowed = _LATENT_TOLERANCE * 2 * latent.limit
    if not apart.max() <= allowed:
        raise GuaranteeViolated(
            f"the exported encoder differs from torch by {apart.max():.3g} steps of a latent, "
            f"rounding apart (allowed: {allowed:.3g}); the codec was not written"
        )
    network = torch_reconstruction(trained.decoder, latent.dequantise(encoded, 1.0))
    decoded = sample.to_network(codec.reconstruct(encoded))
    drift = float(np.abs(network - decoded).max())
    coarseness = max(map(abs, sample.data_range)) / sample.scale * np.finfo(np.float32).eps
    tolerance = _RECONSTRUCTION_TOLERANCE + 4 * coarseness
    if not drift <= tolerance:
        raise GuaranteeViolated(
            f"the exported decoder differs from torch by {drift:.2g} of the data's range "
            f"(allowed: {tolerance:.2g}); the codec was not written"
        )
