"""Check that this process decodes as a codec's drift certificate promises."""

from __future__ import annotations

import hashlib
import os
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.codec.certificate import Certificate
from engine.errors import GuaranteeViolated
from engine.runtime.codec import batches

_BATCHES = (1, 5)
_passed: set[tuple[int, str, str, int, bytes]] = set()


class Decoder(Protocol):
    """Decodes as a codec does, in sessions of its own."""

    @property
    def device(self) -> str:
        """Where it decodes."""

    @property
    def threads(self) -> int:
        """How many work on one batch, 0 for all cores."""

    @property
    def digest(self) -> str:
        """Names the codec."""

    def reconstruct(self, latents: NDArray[Any], step: float) -> NDArray[Any]:
        """What the network returns for latents `(n, *latent_shape)`."""


def certify(codec: Decoder, certificate: Certificate, where: str) -> float:
    """Decode the probes on the codec's device, at several batch sizes, and compare.

    Returns the largest deviation from the reference, in physical units. A codec that passed on the
    same device with as many threads in the same process is run once more, but at one batch size:
    its sessions are new. `where` begins the message of the error.

    Raises:
        GuaranteeViolated: they deviate by more than the certificate accepts.
    """
    made = hashlib.sha256(certificate.to_bytes()).digest()
    key = (os.getpid(), codec.digest, codec.device, codec.threads, made)
    deviation = _measured(codec, certificate, () if key in _passed else _BATCHES)
    if not deviation <= certificate.accepted:
        raise GuaranteeViolated(
            f"{where}: {codec.device} decodes the codec's probes {deviation:.3g} away from their "
            f"reference (accepted: {certificate.accepted:.3g}), so the guarantee would not hold; "
            f"use another device (--device cpu), another version of onnxruntime, or the machine "
            f"that wrote it"
        )
    _passed.add(key)
    return deviation


def _measured(codec: Decoder, certificate: Certificate, sizes: tuple[int, ...]) -> float:
    """Largest deviation from the reference in batches of these sizes and of all, NaN if one is."""
    latents = certificate.latents
    positions = certificate.positions.astype(np.intp)
    worst = np.float64(0)
    for size in (*sizes, len(latents)):
        for start, stop in batches(len(latents), size):
            output = codec.reconstruct(latents[start:stop], certificate.step)
            found = np.take_along_axis(
                output.reshape(stop - start, -1), positions[start:stop], axis=1
            )
            with np.errstate(all="ignore"):  # values that are not finite
                apart = np.abs(found - certificate.reference[start:stop]).max()
                worst = np.maximum(worst, apart)  # keeps a NaN
    return float(worst)
