"""How far decoded samples lie from the original ones, and which of them break a guarantee."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.guarantee import Guarantee


def deviations(decoded: NDArray[Any], samples: NDArray[Any]) -> NDArray[np.float64]:
    """Largest absolute error and sum of squared errors, float64 `(2, n)`, of samples `(n, *shape)`.

    Elements that are the same, bit for bit, have no error, be they NaN or infinite.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # values that are not finite
        error = np.abs(np.subtract(decoded, samples, dtype=np.float64)).reshape(len(samples), -1)
        error[_same(decoded, samples).reshape(error.shape)] = 0
        return np.stack([error.max(axis=1), np.square(error).sum(axis=1)])


def violations(
    decoded: NDArray[Any],
    samples: NDArray[Any],
    errors: NDArray[np.float64],
    guarantee: Guarantee,
) -> NDArray[np.bool_]:
    """Which samples `(n,)` break the guarantee; `errors` are their `deviations`."""
    elements = samples.size // len(samples)
    broken = ~(errors[0] <= guarantee.element_bound) & (guarantee.kind == "max-error")
    if guarantee.min_psnr is not None and guarantee.peak is not None:
        allowed = guarantee.peak * guarantee.peak * 10 ** (-guarantee.min_psnr / 10)
        broken |= ~(errors[1] / elements <= allowed)
    differing = ~_same(decoded, samples)
    if guarantee.kind != "lossless":
        differing &= _kept(samples, guarantee)
    result: NDArray[np.bool_] = broken | differing.reshape(len(samples), -1).any(axis=1)
    return result


def _kept(samples: NDArray[Any], guarantee: Guarantee) -> NDArray[np.bool_]:
    """Elements that were promised bit for bit."""
    kept: NDArray[np.bool_] = ~np.isfinite(samples)
    for value in guarantee.fill_values:
        kept |= samples == value
    return kept


def _same(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Elements with the same bits."""
    bits = f"u{one.dtype.itemsize}"
    same: NDArray[np.bool_] = np.ascontiguousarray(one).view(bits) == np.ascontiguousarray(
        other
    ).view(bits)
    return same
