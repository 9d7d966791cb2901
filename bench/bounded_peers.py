"""Codecs of others that keep an error bound, or every bit: one small adapter each.

A peer codes one array at a time and is told nothing but the bound, an absolute error of which 0
means bit exact. Its bytes decode with the array's shape and dtype alone, which any container knows.
"""

from __future__ import annotations

import importlib.util
import math
import struct
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.layouts import MOSAIC, POSITION_MAJOR, SEQUENCE, STACK, VOLUME

Array = NDArray[Any]
Shape = tuple[int, ...]

_LINES = (SEQUENCE, POSITION_MAJOR)
_SURFACES = (SEQUENCE, STACK, VOLUME)


class Refused(Exception):
    """A peer can't code this array; the message says why."""


class Peer(ABC):
    """A codec of arrays.

    `package` must be installed, `layouts` are the arrangements of `bench.layouts` that it takes,
    `lossless` says that it keeps every bit whatever the bound.
    """

    name: str
    package: str
    layouts: tuple[str, ...]
    lossless: bool = False

    @abstractmethod
    def encode(self, array: Array, bound: float) -> bytes:
        """Code an array in C order; raises `Refused`."""

    @abstractmethod
    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """The array that was coded, as near as the peer kept it."""


class Zstd(Peer):
    """Zstandard over the raw bytes; any dtype, any rank."""

    package, layouts, lossless = "numcodecs", _LINES, True

    def __init__(self, level: int) -> None:
        self.name, self._level = f"zstd-{level}", level

    def encode(self, array: Array, bound: float) -> bytes:
        """Compress the bytes of any array."""
        from numcodecs import zstd

        return bytes(zstd.compress(array, self._level))

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Exactly what was coded."""
        from numcodecs import zstd

        return np.frombuffer(zstd.decompress(encoded), dtype).reshape(shape)


class Blosc(Peer):
    """Blosc with zstd level 5 behind its bit shuffle; any dtype, any rank."""

    name, package, layouts, lossless = "blosc bitshuffle zstd-5", "numcodecs", _LINES, True

    def encode(self, array: Array, bound: float) -> bytes:
        """Compress the bytes of any array."""
        from numcodecs import blosc

        return bytes(blosc.compress(array, b"zstd", 5, blosc.BITSHUFFLE))

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Exactly what was coded."""
        from numcodecs import blosc

        return np.frombuffer(blosc.decompress(encoded), dtype).reshape(shape)


class Pcodec(Peer):
    """Pcodec at its default level; one dimension of integers or floats."""

    name, package, layouts, lossless = "pcodec", "pcodec", _LINES, True

    def encode(self, array: Array, bound: float) -> bytes:
        """Compress numbers of any rank as one line."""
        from pcodec import ChunkConfig, standalone

        config = ChunkConfig(enable_8_bit=True)
        return bytes(standalone.simple_compress(array.reshape(-1), config))

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Exactly what was coded."""
        from pcodec import standalone

        return np.asarray(standalone.simple_decompress(encoded), dtype).reshape(shape)


class JpegXl(Peer):
    """JPEG XL, lossless, at its default effort; grey or RGB images of uint8 or uint16."""

    name, package, layouts, lossless = "JPEG XL", "imagecodecs", (MOSAIC,), True

    def encode(self, array: Array, bound: float) -> bytes:
        """Code an image `(height, width)` or `(height, width, 3)`."""
        import imagecodecs

        if array.dtype not in (np.uint8, np.uint16):
            raise Refused(f"takes no {array.dtype}")
        return bytes(imagecodecs.jpegxl_encode(array, lossless=True, effort=7, numthreads=1))

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Exactly what was coded."""
        import imagecodecs

        return np.asarray(imagecodecs.jpegxl_decode(encoded, numthreads=1), dtype).reshape(shape)


class Sz3(Peer):
    """SZ3, its default algorithm; float32, float64 and small integers, up to four dimensions."""

    name, package, layouts = "SZ3", "imagecodecs", _SURFACES

    def encode(self, array: Array, bound: float) -> bytes:
        """Code to an absolute bound."""
        import imagecodecs

        values, tolerance = _as_floats(array, bound)
        return bytes(imagecodecs.sz3_encode(values, mode="abs", abs=tolerance))

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Values within the bound of what was coded, if SZ3 keeps its word."""
        import imagecodecs

        coded = dtype if dtype.kind == "f" else np.dtype(np.float32)
        return from_floats(imagecodecs.sz3_decode(encoded, shape, coded), dtype)


class Zfp(Peer):
    """ZFP to an accuracy; float32, float64 and small integers, up to four dimensions.

    ZFP stays several times under its tolerance, so the coarsest of some larger tolerances whose
    measured error is within the bound is taken.
    """

    name, package, layouts = "ZFP", "imagecodecs", _SURFACES
    _FACTORS = (8, 4, 2, 1)  # of the tolerance, which ZFP rounds to powers of two

    def encode(self, array: Array, bound: float) -> bytes:
        """Code to an absolute bound."""
        import imagecodecs

        values, tolerance = _as_floats(array, bound)
        for factor in self._FACTORS:
            level = tolerance * factor
            encoded = bytes(imagecodecs.zfp_encode(values, level=level, mode="accuracy"))
            if max_abs_error(array, self.decode(encoded, array.shape, array.dtype)) <= bound:
                break
        return encoded

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Values within the bound of what was coded, if ZFP keeps its word."""
        import imagecodecs

        return from_floats(imagecodecs.zfp_decode(encoded).reshape(shape), dtype)


class Quantised(Peer):
    """Uniform quantisation to the bound, its integers kept by a lossless peer; finite values."""

    def __init__(self, coder: Peer) -> None:
        self.name, self._coder = f"quantised {coder.name}", coder
        self.package, self.layouts = coder.package, coder.layouts

    def encode(self, array: Array, bound: float) -> bytes:
        """Code to an absolute bound."""
        if not np.isfinite(array).all():
            raise Refused("NaN has no level")
        base, step = float(array.min()), _step(array, bound)
        levels = np.rint((array - np.float64(base)) / step)
        levels = levels.astype(np.min_scalar_type(int(levels.max())))
        header = struct.pack("<ddB", base, step, levels.itemsize)
        return header + self._coder.encode(levels, 0)

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Values within the bound of what was coded."""
        base, step, itemsize = struct.unpack("<ddB", encoded[:17])
        levels = self._coder.decode(encoded[17:], shape, np.dtype(f"u{itemsize}"))
        return from_floats(base + levels * np.float64(step), dtype)


class Masked(Peer):
    """Another peer, whose masked elements are kept apart as bits and filled with the mean."""

    def __init__(self, peer: Peer, fill_value: float) -> None:
        self.name, self._peer, self._fill_value = f"{peer.name}, mask apart", peer, fill_value
        self.package, self.layouts = peer.package, peer.layouts

    def encode(self, array: Array, bound: float) -> bytes:
        """Code the elements that aren't `fill_value` to an absolute bound."""
        masked = is_masked(array, self._fill_value)
        mean = 0 if masked.all() else array[~masked].mean(dtype=np.float64)
        bits = Zstd(19).encode(np.packbits(masked), 0)
        filled = np.where(masked, array.dtype.type(mean), array)
        return struct.pack("<I", len(bits)) + bits + self._peer.encode(filled, bound)

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Masked elements exactly, the others as near as the peer kept them."""
        (size,) = struct.unpack("<I", encoded[:4])
        packed = Zstd(19).decode(encoded[4 : 4 + size], (-1,), np.dtype(np.uint8))
        values = self._peer.decode(encoded[4 + size :], shape, dtype)
        masked = np.unpackbits(packed, count=values.size).reshape(shape).astype(bool)
        return np.where(masked, dtype.type(self._fill_value), values)


PEERS: tuple[Peer, ...] = (
    Zstd(3),
    Zstd(19),
    Blosc(),
    Pcodec(),
    JpegXl(),
    Sz3(),
    Zfp(),
    *(Quantised(coder) for coder in (Zstd(3), Zstd(19), Pcodec(), JpegXl())),
)


def installed(peer: Peer) -> bool:
    """Whether the package that a peer needs is here."""
    return importlib.util.find_spec(peer.package) is not None


def is_masked(array: Array, fill_value: float) -> NDArray[np.bool_]:
    """Where an array holds `fill_value`, which may be NaN."""
    return np.isnan(array) if np.isnan(fill_value) else array == fill_value


def max_abs_error(original: Array, decoded: Array) -> float:
    """Largest absolute difference; infinite where only one of two elements is NaN."""
    difference = np.abs(decoded.astype(np.float64) - original.astype(np.float64))
    missing = np.isnan(original)
    if missing.any():
        difference[missing] = np.where(np.isnan(decoded[missing]), 0, np.inf)
    return float(np.nan_to_num(difference, nan=np.inf, posinf=np.inf).max(initial=0))


def from_floats(values: Array, dtype: np.dtype[Any]) -> Array:
    """Values in a dtype, integers rounded and clipped."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def _as_floats(array: Array, bound: float) -> tuple[Array, float]:
    """What a codec of floats is given, and its tolerance; rounding takes what is under a half."""
    if array.dtype.kind == "f":
        return array, bound
    if array.dtype.itemsize > 2:
        raise Refused(f"float32 doesn't hold {array.dtype}")
    return array.astype(np.float32), math.floor(bound) + 0.499


def _step(array: Array, bound: float) -> float:
    """Of the coarsest quantiser that keeps the bound after rounding to the array's dtype."""
    if array.dtype.kind in "iu":
        return 2 * math.floor(bound) + 1
    rounding = float(np.spacing(np.abs(array).max())) / 2
    if bound <= rounding:
        raise Refused("bound below the dtype's precision")
    return 2 * (bound - rounding) * (1 - 1e-9)
