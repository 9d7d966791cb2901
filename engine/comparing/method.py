"""What a comparison can measure: a way to code held-out samples at several settings."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from engine.comparing.layouts import Array
from engine.comparing.peers.peer import LOSSLESS, MAX_ERROR, is_installed
from engine.comparing.split_samples import SplitSamples

INDEX_BYTES = 16
"""What a chunk costs in the index of a Zarr shard, whoever coded it."""

_DISTRIBUTIONS = {"faiss": "faiss-cpu"}  # where pip knows a package by another name
RANGE_FRACTIONS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)


@dataclass(frozen=True)
class Setting:
    """One position of a codec's dial: what the dial is called, and where it stands."""

    unit: str
    value: float

    def __str__(self) -> str:
        return self.unit if self.unit == LOSSLESS else f"{self.unit} {self.value:.4g}"

    @property
    def bound(self) -> float | None:
        """The absolute error that it promises, 0 for every bit, None for no promise."""
        if self.unit == LOSSLESS:
            return 0.0
        return self.value if self.unit == MAX_ERROR else None


@dataclass(frozen=True)
class Coded:
    """Held-out samples after a real encode and decode, and what that took.

    `payload_bytes` grow with the samples, `decoder_bytes` (networks, tables, a mean field) and
    `metadata_bytes` don't.
    """

    decoded: Array
    layout: str
    payload_bytes: int
    decoder_bytes: int
    encode_s: float
    decode_s: float
    metadata_bytes: int = 0


class Method(ABC):
    """A codec in a comparison.

    `identity` changes whenever its bytes may; `package` must be installed.
    """

    name: str
    identity: str
    package: str

    @property
    def is_installed(self) -> bool:
        """Whether the package that it needs is here."""
        return is_installed(self.package)

    @abstractmethod
    def settings(self, data: SplitSamples) -> tuple[Setting, ...]:
        """The dial positions to measure on this data, coarse ones first; none if it can't."""

    @abstractmethod
    def code(self, data: SplitSamples, setting: Setting) -> Coded:
        """Encode and decode the test samples; raises `Refused`."""


def how_to_install(method: Method) -> str:
    """One line that names a codec that isn't here, and the command that brings it."""
    package = _DISTRIBUTIONS.get(method.package, method.package)
    return (
        f"{method.name} is left out: {method.package} is not installed (pip install {package}, "
        f"or latent-engine[bench] for all of them)"
    )


def bounds(data: SplitSamples) -> tuple[Setting, ...]:
    """Absolute errors worth promising on this data, from 20 % of its range to 0.1 %."""
    values = [fraction * data.value_range for fraction in RANGE_FRACTIONS]
    if data.test.dtype.kind in "iu":
        values = [float(math.floor(value)) for value in values]
    return tuple(Setting(MAX_ERROR, value) for value in dict.fromkeys(values) if value > 0)
