"""Per-sample quality: peak signal-to-noise ratio, and the log codes that errors are stored in.

A code is one byte. With u the store's `quality_unit`, code 0 is exactly 0, code c in 1..254 is
u * 2 ** ((c - 208) / 8), and 255 is infinity: 9 % apart, from u * 2**-25.9 to u * 2**5.75. Codes
round up, so a stored error is never smaller than the measured one.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

# 2 ** (k / 8) as literals, so that no machine's pow() can move a level by an ulp.
_EIGHTHS = (
    1.0,
    1.0905077326652577,
    1.189207115002721,
    1.2968395546510096,
    1.4142135623730951,
    1.5422108254079407,
    1.681792830507429,
    1.8340080864093424,
)
_CODE_OF_UNIT = 208


def error_levels(unit: float) -> NDArray[np.float64]:
    """The 256 values that the codes of a max-abs-error stand for, ascending."""
    levels = [math.ldexp(_EIGHTHS[c % 8], (c - _CODE_OF_UNIT) // 8) for c in range(1, 255)]
    return np.array([0.0, *(unit * level for level in levels), np.inf])


def encode_errors(values: ArrayLike, levels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Codes of the smallest levels that are not below `values`; NaN becomes infinity."""
    errors = np.asarray(values, np.float64)
    with np.errstate(all="ignore"):  # zeros, NaN, and quotients beyond float64
        place = np.ceil(8 * np.log2(errors / levels[_CODE_OF_UNIT])) + _CODE_OF_UNIT
        codes = np.fmin(np.fmax(place, 1), 255).astype(np.intp)
    # The logarithm is rounded, so the levels themselves have the last word.
    wrong = ~((levels[codes - 1] < errors) & (errors <= levels[codes]))
    codes[wrong] = np.searchsorted(levels, errors[wrong], side="left").clip(0, 255)
    found: NDArray[np.uint8] = codes.astype(np.uint8)
    return found


def decode_errors(codes: ArrayLike, levels: NDArray[np.float64]) -> NDArray[np.float32]:
    """The levels of `codes` as float32, rounded up where float32 can't hold them."""
    with np.errstate(over="ignore"):
        rounded = levels.astype(np.float32)
    short = rounded.astype(np.float64) < levels
    rounded[short] = np.nextafter(rounded[short], np.float32(np.inf))
    decoded: NDArray[np.float32] = rounded[np.asarray(codes)]
    return decoded


def peak_value(dtype: DTypeLike, data_min: float, data_max: float) -> float:
    """Peak of the PSNR: the dtype's range for uint8 and uint16, else the range of the data."""
    dtype = np.dtype(dtype)
    if dtype in (np.dtype(np.uint8), np.dtype(np.uint16)):
        return float(np.iinfo(dtype).max)
    return data_max - data_min


def psnr_db(mean_squared_error: float, peak: float) -> float:
    """Peak signal-to-noise ratio in dB; infinite where there is no error."""
    if mean_squared_error == 0:
        return math.inf
    if peak == 0:
        return -math.inf
    return 20 * math.log10(peak) - 10 * math.log10(mean_squared_error)
