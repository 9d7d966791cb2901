"""Residuals on the CPU, fused into one pass: the speed of the bulk path."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_kernels.error_statistics.reference import clip_range
from cuda_kernels.residuals import reference


def restore(
    reconstruction: NDArray[Any],
    residuals: NDArray[Any],
    step: NDArray[np.float64],
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """Return the samples that a reader gets for what the decoder returned and the residuals.

    Shapes, dtypes and results are those of `cuda_kernels.residuals.reference`, in native byte
    order. Runs on one thread without the GIL; float16, which Numba lacks, is left to the reference.
    The first call for a dtype compiles, which takes seconds; Numba keeps the machine code in its
    cache. Raises ValueError where shapes or dtypes don't agree.
    """
    if dtype == np.float16:
        return reference.restore(reconstruction, residuals, step, dtype)
    reference.check_restored(reconstruction, residuals, step)
    from engine.runtime.residual_loops import restore_samples

    restored = np.empty(residuals.shape, dtype)
    rows = _whole_rows(reconstruction, residuals.shape[1])
    restore_samples(rows, residuals, step, *clip_range(dtype), restored)
    return restored


def quantise(
    reconstruction: NDArray[Any],
    samples: NDArray[Any],
    verbatim: NDArray[np.uint8] | None,
    step: float,
    tolerance: float,
    max_error: float,
    residuals: NDArray[Any],
    patched: NDArray[np.uint8],
    max_abs_error: NDArray[np.float64],
    sum_squared_error: NDArray[np.float64],
    worst_sum_squared_error: NDArray[np.float64],
) -> None:
    """Choose the residuals, and mark the elements that they don't bring within the bound.

    The same may be said as of `restore`; sums differ from the reference's in rounding.
    """
    results, statistics = (
        (residuals, patched),
        (max_abs_error, sum_squared_error, worst_sum_squared_error),
    )
    if samples.dtype == np.float16:
        reference.quantise(
            reconstruction,
            samples,
            verbatim,
            step,
            tolerance,
            max_error,
            *results,
            *statistics,
        )
        return
    reference.check_quantised(reconstruction, samples, verbatim, results, statistics)
    from engine.runtime.residual_loops import quantise_samples

    quantise_samples(
        _whole_rows(reconstruction, samples.shape[1]),
        samples,
        verbatim,
        float(step),
        reference.reciprocal(step),
        float(tolerance),
        *clip_range(samples.dtype),
        *reference.limits(residuals, samples, max_error),
        *results,
        *statistics,
    )


def _whole_rows(reconstruction: NDArray[Any], elements: int) -> NDArray[Any]:
    """Return `reconstruction` (n or 1, elements) with unit stride, copied only if it must be."""
    return np.ascontiguousarray(np.broadcast_to(reconstruction, (len(reconstruction), elements)))
