"""What the decoder returned becomes samples: one pass, into memory of the caller's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_kernels.error_statistics.reference import clip_range, finish
from engine.compiled import compile_loop
from engine.runtime.forks import no_fork

_COMPILING_PAYS_ELEMENTS = 1 << 20  # importing Numba takes as long as NumPy for several times that


class Finisher:
    """Rounds, clips and casts as `cuda_kernels.error_statistics.reference.finish`, bit for bit.

    Integers are left to the reference until so many have come that loading the compiled loop pays.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        """Finish samples of `dtype`, an integer or a float."""
        self._dtype, self._elements, self._is_compiled = dtype, 0, False
        low, high = clip_range(dtype)
        self._limits = None if low is None or high is None else _exact(low, high, dtype)
        self._is_narrow = dtype.kind == "u" and dtype.itemsize <= 2

    def __call__(self, reconstruction: NDArray[Any], samples: NDArray[Any]) -> None:
        """Write `samples` from `reconstruction`, both (n, elements); float32 or float64 come in.

        Runs on the calling thread; a compiled loop lets others run Python meanwhile.
        """
        if self._limits is None:
            with np.errstate(over="ignore"):
                np.copyto(samples, reconstruction, casting="unsafe")
        elif self._elements < _COMPILING_PAYS_ELEMENTS:
            self._elements += samples.size
            samples[...] = finish(reconstruction, self._dtype)
        elif self._is_compiled:
            _compiled(self._is_narrow)(reconstruction, *self._limits, samples)
        else:
            with no_fork:
                _compiled(self._is_narrow)(reconstruction, *self._limits, samples)
            self._is_compiled = True


def _exact(low: float, high: float, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Both limits as the narrowest float that holds them: half as wide is twice as fast."""
    real = np.float32 if dtype.itemsize <= 2 else np.float64
    return real(low), real(high)


@functools.cache
def _compiled(is_narrow: bool) -> Callable[..., None]:
    return compile_loop(_finish_narrow if is_narrow else _finish_integers)


def _finish_integers(
    reconstruction: NDArray[Any], low: Any, high: Any, samples: NDArray[Any]
) -> None:
    # What comes in is compared as it is, or as the limits are if these are wider.
    for sample in range(samples.shape[0]):
        for element in range(samples.shape[1]):
            y = reconstruction[sample, element]
            number = low - low if np.isnan(y) else y
            samples[sample, element] = np.rint(min(max(number, low), high))


def _finish_narrow(
    reconstruction: NDArray[Any], low: Any, high: Any, samples: NDArray[Any]
) -> None:
    # Half the time of the other loop, for uint8 and uint16: NaN isn't above `low`, which is 0, and
    # through int32 values are narrowed with one instruction.
    for sample in range(samples.shape[0]):
        for element in range(samples.shape[1]):
            y = reconstruction[sample, element]
            above = y if y > low else low
            samples[sample, element] = np.int32(np.rint(above if above < high else high))
