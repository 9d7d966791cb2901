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
    _compiled()(reconstruction, samples, low, high, max_abs_error, sum_squared_error)


@functools.cache
def _compiled() -> Callable[..., None]:
    # Only the sum can be reassociated here, and without that it isn't vectorised.
    return compile_loop(_reduce_samples, fastmath={"reassoc"})


def _reduce_samples(
    reconstruction: NDArray[Any],
    samples: NDArray[Any],
    low: float | None,
    high: float | None,
    max_abs_error: NDArray[np.float64],
    sum_squared_error: NDArray[np.float64],
) -> None:
    for sample in range(samples.shape[0]):
        worst_bits = np.int64(0)
        total = 0.0
        for element in range(samples.shape[1]):
            y = np.float64(reconstruction[sample, element])
            if low is None or high is None:
                y = np.float64(samples.dtype.type(y))
            else:
                number = 0.0 if np.isnan(y) else y
                y = np.rint(min(max(number, low), high))
            error = abs(y - np.float64(samples[sample, element]))
            total += error * error
            # As integers the bits of non-negative floats order as the floats do, NaN above
            # infinity, and the maximum of integers is vectorised.
            worst_bits = max(worst_bits, np.float64(error).view(np.int64))
        max_abs_error.view(np.int64)[sample] = worst_bits
        sum_squared_error[sample] = total
