"""Per-sample error statistics on the CPU, fused into one pass: the speed of the bulk path."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_kernels.error_statistics.reference import check_shapes, clip_range, finish
from engine.compiled import compile_loop

# So many squares of differences of bytes, at most 255 * 255 each, have a sum below 2**24.
_EXACT_SQUARES = 256


def error_statistics(
    reconstruction: NDArray[Any],
    samples: NDArray[Any],
    max_abs_error: NDArray[np.float64],
    sum_squared_error: NDArray[np.float64],
) -> None:
    """Measure how far each finished sample lies from the raw one.

    Shapes, dtypes and results are those of `cuda_kernels.error_statistics.reference`, in native
    byte order. Runs on one thread without the GIL. The first call for a dtype compiles, which takes
    about a second; Numba keeps the machine code in its cache. Raises ValueError where shapes don't
    agree.
    """
    check_shapes(reconstruction, samples, max_abs_error, sum_squared_error)
    if samples.dtype == np.float16:  # Numba has none; float32 holds every float16
        reconstruction = finish(reconstruction, samples.dtype).astype(np.float32)
        samples = samples.astype(np.float32)
    low, high = clip_range(samples.dtype)
    # The narrowest floats in which every difference, and every sum of a block of their squares, is
    # exact: half as wide is twice as fast.
    integers = samples.dtype.kind != "f" and reconstruction.dtype == np.float32
    narrow_errors = integers and samples.dtype.itemsize <= 2
    narrow_sums = integers and samples.dtype.itemsize == 1
    limits: tuple[Any, Any] = (low, high)
    if low is not None and high is not None and narrow_errors:
        limits = (np.float32(low), np.float32(high))
    reduce = _compiled(narrow_errors=narrow_errors, narrow_sums=narrow_sums)
    reduce(reconstruction, samples, *limits, max_abs_error, sum_squared_error)


@functools.cache
def _compiled(*, narrow_errors: bool, narrow_sums: bool) -> Callable[..., None]:
    real, bits = (np.float32, np.int32) if narrow_errors else (np.float64, np.int64)
    exact, block = (np.float32, _EXACT_SQUARES) if narrow_sums else (np.float64, sys.maxsize)
    # Only the sum can be reassociated here, and without that it isn't vectorised.
    return compile_loop(_reduction(real, bits, exact, block), fastmath={"reassoc"})


def _reduction(
    real: type[Any], bits: type[Any], exact: type[Any], block: int
) -> Callable[..., None]:
    """The loop: differences of the type `real`, as wide as `bits`, and sums of a block `exact`."""

    def reduce_samples(
        reconstruction: NDArray[Any],
        samples: NDArray[Any],
        low: Any,
        high: Any,
        max_abs_error: NDArray[np.float64],
        sum_squared_error: NDArray[np.float64],
    ) -> None:
        for sample in range(samples.shape[0]):
            worst_bits = bits(0)
            total = 0.0
            for start in range(0, samples.shape[1], block):
                decoded = reconstruction[sample, start : start + block]
                raw = samples[sample, start : start + block]
                subtotal = exact(0)
                for element in range(raw.shape[0]):
                    y = real(decoded[element])
                    if low is None or high is None:
                        y = real(samples.dtype.type(y))
                    else:
                        number = real(0) if np.isnan(y) else y
                        y = np.rint(min(max(number, low), high))
                    error = real(abs(y - real(raw[element])))
                    subtotal += exact(exact(error) * exact(error))
                    # As integers the bits of non-negative floats order as the floats do, NaN
                    # above infinity, and the maximum of integers is vectorised.
                    worst_bits = max(worst_bits, real(error).view(bits))
                total += np.float64(subtotal)
            max_abs_error[sample] = bits(worst_bits).view(real)
            sum_squared_error[sample] = total

    return reduce_samples
