"""Per-sample error statistics on the CPU, fused into one pass: the speed of the bulk path."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_kernels.error_statistics.reference import check_shapes, clip_range, finish
from engine.compiled import compile_loop


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
    # The narrowest float in which every difference is exact: half as wide is twice as fast.
    narrow = samples.dtype.kind != "f" and samples.dtype.itemsize <= 2
    real = np.float32 if narrow and reconstruction.dtype == np.float32 else np.float64
    limits = (low, high) if low is None else (real(low), real(high))
    _compiled(real)(reconstruction, samples, *limits, max_abs_error, sum_squared_error)


@functools.cache
def _compiled(real: type[np.floating[Any]]) -> Callable[..., None]:
    # Only the sum can be reassociated here, and without that it isn't vectorised.
    bits = np.int32 if real is np.float32 else np.int64
    return compile_loop(_reduction(real, bits), fastmath={"reassoc"})


def _reduction(real: type[Any], bits: type[Any]) -> Callable[..., None]:
    """The loop in floats of the type `real`, whose bits are integers of the type `bits`."""

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
            for element in range(samples.shape[1]):
                y = real(reconstruction[sample, element])
                if low is None or high is None:
                    y = real(samples.dtype.type(y))
                else:
                    number = real(0) if np.isnan(y) else y
                    y = np.rint(min(max(number, low), high))
                error = real(abs(y - real(samples[sample, element])))
                total += np.float64(error) * np.float64(error)
                # As integers the bits of non-negative floats order as the floats do, NaN above
                # infinity, and the maximum of integers is vectorised.
                worst_bits = max(worst_bits, real(error).view(bits))
            max_abs_error[sample] = bits(worst_bits).view(real)
            sum_squared_error[sample] = total

    return reduce_samples
