"""What every codec of others promises: one array in, bytes out, and back.

A peer codes one array at a time and is told nothing but one number. Its bytes decode with the
array's shape and dtype alone, which any container knows.
"""

from __future__ import annotations

import importlib.util
import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from engine.comparing.layouts import POSITION_MAJOR, SEQUENCE, STACK, VOLUME, Array, Shape

LOSSLESS = "lossless"
MAX_ERROR = "max error"

LINES = (SEQUENCE, POSITION_MAJOR)
SURFACES = (SEQUENCE, STACK, VOLUME)


class Refused(Exception):
    """A codec can't take these samples, or this setting; the message says why."""


class Peer(ABC):
    """A codec of arrays.

    `package` must be installed, `layouts` are the arrangements of `engine.comparing.layouts` that
    it takes. `unit` says what its setting is: `lossless` has none and keeps every bit; under
    `max error` it is an absolute error, of which 0 means bit exact; else a scale of its own, of
    which `sweep` are values worth trying, coarse ones first.
    """

    name: str
    package: str
    layouts: tuple[str, ...]
    unit: str = MAX_ERROR
    sweep: tuple[float, ...] = ()

    @property
    def lossless(self) -> bool:
        """Whether it keeps every bit whatever the setting."""
        return self.unit == LOSSLESS

    @property
    def is_installed(self) -> bool:
        """Whether the package that it needs is here."""
        return is_installed(self.package)

    @abstractmethod
    def encode(self, array: Array, setting: float) -> bytes:
        """Code an array in C order; raises `Refused`."""

    @abstractmethod
    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """The array that was coded, as near as the peer kept it."""


def is_installed(package: str) -> bool:
    """Whether a package is here; nothing is imported."""
    return importlib.util.find_spec(package) is not None


def from_floats(values: Array, dtype: np.dtype[Any]) -> Array:
    """Values in a dtype, integers rounded and clipped."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def as_floats(array: Array, bound: float) -> tuple[Array, float]:
    """What a codec of floats is given, and its tolerance; rounding takes what is under a half."""
    if array.dtype.kind == "f":
        return array.astype(np.float32) if array.dtype.itemsize < 4 else array, bound
    if array.dtype.itemsize > 2:
        raise Refused(f"float32 doesn't hold {array.dtype}")
    return array.astype(np.float32), math.floor(bound) + 0.499
