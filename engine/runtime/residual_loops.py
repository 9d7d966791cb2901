"""The loops of `residuals`, compiled: importing this module imports Numba."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compile_loop


@functools.partial(compile_loop, fastmath={"reassoc"})
def _add(total: float, term: float) -> float:
    # Sums are vectorised only if they may be reassociated. Nothing else here may: in
    # `(y - tolerance) + shift` that would change what is proved of a reader.
    return total + term


@compile_loop
def _finish(y: float, like: Any, low: float | None, high: float | None) -> float:
    finished: float
    if low is None or high is None:
        finished = np.float64(like.dtype.type(y))
    else:
        number = 0.0 if np.isnan(y) else y
        finished = np.rint(min(max(number, low), high))
    return finished


@compile_loop
def restore_samples(
    reconstruction: NDArray[Any],
    residuals: NDArray[Any],
    step: NDArray[np.float64],
    low: float | None,
    high: float | None,
    restored: NDArray[Any],
) -> None:
    """Write `restored` (n, elements); `low` and `high` are None for floats."""
    for sample in range(residuals.shape[0]):
        decoded = reconstruction[sample if reconstruction.shape[0] > 1 else 0]
        for element in range(residuals.shape[1]):
            y = np.float64(decoded[element])
            y += np.float64(residuals[sample, element]) * step[sample]
            restored[sample, element] = _finish(y, restored, low, high)


@compile_loop
def quantise_samples(
    reconstruction: NDArray[Any],
    samples: NDArray[Any],
    verbatim: NDArray[np.uint8] | None,
    step: float,
    reciprocal: float,
    tolerance: float,
    low: float | None,
    high: float | None,
    largest_residual: float,
    largest_error: float,
    magnitude_limit: float,
    residuals: NDArray[Any],
    patched: NDArray[np.uint8],
    max_abs_error: NDArray[np.float64],
    sum_squared_error: NDArray[np.float64],
    worst_sum_squared_error: NDArray[np.float64],
) -> None:
    """Write the last five; `low` and `high` are None for floats."""
    for sample in range(samples.shape[0]):
        decoded = reconstruction[sample if reconstruction.shape[0] > 1 else 0]
        max_bits = np.int64(0)
        total = 0.0
        worst_total = 0.0
        for element in range(samples.shape[1]):
            y = np.float64(decoded[element])
            x = np.float64(samples[sample, element])
            k = np.rint((x - y) * reciprocal)
            shift = k * step
            nominal = abs(_finish(y + shift, samples, low, high) - x)
            below = abs(_finish((y - tolerance) + shift, samples, low, high) - x)
            above = abs(_finish((y + tolerance) + shift, samples, low, high) - x)
            holds = (abs(k) <= largest_residual) & (abs(x) < magnitude_limit)
            holds &= (below <= largest_error) & (above <= largest_error)
            if verbatim is not None:
                holds &= verbatim[sample, element] == 0
            residuals[sample, element] = k if holds else 0.0
            patched[sample, element] = 0 if holds else 1
            kept = nominal if holds else 0.0
            worst = max(below, above) if holds else 0.0
            total = _add(total, kept * kept)
            worst_total = _add(worst_total, worst * worst)
            # As integers the bits of non-negative floats order as the floats do, and the maximum
            # of integers is vectorised.
            max_bits = max(max_bits, np.float64(kept).view(np.int64))
        max_abs_error.view(np.int64)[sample] = max_bits
        sum_squared_error[sample] = total
        worst_sum_squared_error[sample] = worst_total
