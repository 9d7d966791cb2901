"""The drift certificate of a codec: what its decoder returns for latents that probe it."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.codec.files import CERTIFICATE, CodecFiles
from engine.codec.manifest import LatentFormat, Manifest
from engine.errors import CorruptCodec, InvalidInput

CERTIFICATE_FILE = "probes.bin"
UNCERTIFIED = "uncertified"
MAX_PROBES = 256

_VERSION = 1
_HEADER = struct.Struct("<4I3d")  # version, probes, positions, zero; step, deviation, tolerance
_REFERENCE, _POSITION = np.dtype("<f8"), np.dtype("<u4")
_LONGEST_REASON = 200


@dataclass(frozen=True, eq=False)
class Certificate:
    """Probe latents, a float64 reference of the decoder's output, and how far from it is allowed.

    Attributes:
        step: the decoder's `step` input that the reference was made for.
        latents: int8 or int16 `(probes, *latent_shape)`.
        positions: uint32 `(probes, p)`, flat indices into a sample, ascending in each row.
        reference: float64 `(probes, p)`, the output at these positions, in physical units.
        deviation: largest difference of a float32 run from the reference seen when it was made.
        tolerance: how much farther than `deviation` another process may lie.
    """

    step: float
    latents: NDArray[Any]
    positions: NDArray[np.uint32]
    reference: NDArray[np.float64]
    deviation: float
    tolerance: float

    def __post_init__(self) -> None:
        """Refuse numbers that no check could be made with."""
        numbers = (self.step, self.deviation, self.tolerance, self.room)
        if not (all(map(math.isfinite, numbers)) and np.isfinite(self.reference).all()):
            raise InvalidInput("expected a certificate of finite numbers")
        if not (self.step > 0 and self.deviation >= 0 and self.tolerance > 0):
            raise InvalidInput(
                f"expected a certificate with step and tolerance above 0 and no negative "
                f"deviation, found {self.step:g}, {self.tolerance:g} and {self.deviation:g}"
            )
        if (self.latents == np.iinfo(self.latents.dtype).min).any():
            raise InvalidInput("a probe holds a latent that no encoder writes")
        if (self.positions[:, 1:] <= self.positions[:, :-1]).any():
            raise InvalidInput("expected the positions of each probe in ascending order")

    @property
    def accepted(self) -> float:
        """Largest deviation from the reference with which a process may read or write."""
        return self.tolerance + self.deviation

    @property
    def room(self) -> float:
        """Largest drift between two accepted processes: what a writer must leave."""
        return 2 * self.accepted

    def covers(self, latents: NDArray[Any]) -> NDArray[np.bool_]:
        """Which of latents `(n, *latent_shape)` lie, in every channel, between those of probes.

        What the certificate says of a decoder, it says of these.
        """
        axes = (0, *range(2, self.latents.ndim))
        low, high = (
            end(axis=axes).reshape(-1, *[1] * (self.latents.ndim - 2))
            for end in (self.latents.min, self.latents.max)
        )
        within = (latents >= low) & (latents <= high)
        return np.asarray(within.all(axis=tuple(range(1, within.ndim))))

    def to_bytes(self) -> bytes:
        """The content of `probes.bin`."""
        shape, numbers = self.positions.shape, (self.step, self.deviation, self.tolerance)
        arrays = (
            self.reference.astype(_REFERENCE),
            self.positions.astype(_POSITION),
            self.latents.astype(self.latents.dtype.newbyteorder("<")),
        )
        header = _HEADER.pack(_VERSION, *shape, 0, *numbers)
        return header + b"".join(array.tobytes() for array in arrays)

    @classmethod
    def from_bytes(cls, content: bytes, latent: LatentFormat, sample_elements: int) -> Certificate:
        """Read a certificate of a codec with such latents and so many elements a sample.

        Raises:
            CorruptCodec: it isn't one.
        """
        try:
            return cls(**_parse(content, latent, sample_elements))
        except InvalidInput as error:
            raise CorruptCodec(f"the drift certificate is damaged: {error}") from None


def read_certificate(files: CodecFiles) -> Certificate | None:
    """The certificate that a codec carries, or None.

    Raises:
        CorruptCodec: it is damaged, or was left out of this copy of the codec.
    """
    manifest = files.manifest
    if all(entry.role != CERTIFICATE for entry in manifest.files):
        return None
    elements = math.prod(manifest.sample.shape)
    return Certificate.from_bytes(files.role(CERTIFICATE), manifest.latent, elements)


def uncertified_reason(manifest: Manifest) -> str:
    """Why a codec carries no certificate, as one line, as far as its manifest says."""
    reason = manifest.calibration.get(UNCERTIFIED, "it was packed without; pack it again")
    return " ".join(str(reason).split())[:_LONGEST_REASON]


def _parse(content: bytes, latent: LatentFormat, sample_elements: int) -> dict[str, Any]:
    if len(content) < _HEADER.size:
        raise InvalidInput(f"expected {_HEADER.size} bytes or more, found {len(content)}")
    version, probes, count, zero, step, deviation, tolerance = _HEADER.unpack_from(content)
    if version != _VERSION or zero != 0:
        raise InvalidInput(f"expected version {_VERSION}, found {version}")
    if not (0 < probes <= MAX_PROBES and 0 < count <= sample_elements):
        raise InvalidInput(
            f"expected 1 to {MAX_PROBES} probes and 1 to {sample_elements} positions each, "
            f"found {probes} and {count}"
        )
    shapes = ((probes, count), (probes, count), (probes, *latent.shape))
    dtypes = (_REFERENCE, _POSITION, latent.dtype.newbyteorder("<"))
    reference, positions, latents = _split(content[_HEADER.size :], shapes, dtypes)
    if positions.max() >= sample_elements:
        raise InvalidInput(
            f"expected positions below {sample_elements}, found {int(positions.max())}"
        )
    return {
        "step": step,
        "latents": latents.astype(latent.dtype),
        "positions": positions,
        "reference": reference,
        "deviation": deviation,
        "tolerance": tolerance,
    }


def _split(
    content: bytes, shapes: tuple[tuple[int, ...], ...], dtypes: tuple[np.dtype[Any], ...]
) -> list[NDArray[Any]]:
    """Cut arrays that lie one after the other, once it is sure that they are all there."""
    sizes = [math.prod(shape) * dtype.itemsize for shape, dtype in zip(shapes, dtypes, strict=True)]
    if len(content) != sum(sizes):
        raise InvalidInput(
            f"expected {_HEADER.size + sum(sizes)} bytes, found {_HEADER.size + len(content)}"
        )
    arrays, start = [], 0
    for shape, dtype, size in zip(shapes, dtypes, sizes, strict=True):
        arrays.append(np.frombuffer(content[start : start + size], dtype).reshape(shape))
        start += size
    return arrays
