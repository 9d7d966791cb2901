"""What a reader makes of a reconstruction and residuals, and how a writer chooses them, in NumPy.

A reader whose reconstruction lies within the tolerance of the writer's is within the bound:

- Its y is a float64 with `y_writer - tolerance <= y <= y_writer + tolerance`. Rounding to nearest
  is monotone and leaves y alone, so the two ends as computed in float64 enclose y too.
- `finish(y + k * step)` is monotone in y: the product is exact, as `step` has 12 significant bits,
  and the sum, the cast or the rounding and clipping that follow it are monotone.
- So what the reader restores lies between what the writer restored at the two ends, and no further
  from the sample than the worse of them.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_kernels.array import Array, dtype_of
from cuda_kernels.error_statistics.reference import finish
from cuda_kernels.residuals.step import EXACT_INTEGERS


def restore(
    reconstruction: NDArray[Any],
    residuals: NDArray[Any],
    step: NDArray[np.float64],
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """Return the samples that a reader gets: `finish(float64(y) + float64(k) * step)`.

    `reconstruction` float32 or float64, (n, elements) as the decoder returns it, or of length 1
    along an axis where it is constant; `residuals` (n, elements), int8 to int32; `step` (n,), 0 or
    of 12 significant bits. The result is (n, elements) of `dtype`. Raises ValueError where shapes
    or dtypes don't agree.
    """
    check_restored(reconstruction, residuals, step)
    with np.errstate(over="ignore", invalid="ignore"):  # patches replace what isn't finite
        shift = residuals * step[:, np.newaxis]
        return finish(reconstruction.astype(np.float64) + shift, dtype)


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

    `reconstruction` as in `restore`; `samples` (n, elements), any integer dtype or float16 to
    float64; `verbatim` (n, elements) is not 0 where an element must be patched, None for nowhere.
    `step` is 0 for no residuals, or of 12 significant bits; `tolerance` is how far a reader's
    reconstruction may lie from this one; `max_error` is rounded down to the samples' dtype, or
    infinite. All three are in physical units.

    Writes `residuals` (n, elements), int8 to int32, and `patched` (n, elements), 1 for what fails
    at either end of the tolerance and for values that are not finite, need a residual beyond its
    dtype's symmetric range or are integers of magnitude 2**53 and above; else 0. A patched element
    has residual and error 0. Writes three float64 (n,): `max_abs_error` and `sum_squared_error` as
    a reader without any drift measures them, `worst_sum_squared_error` with each element at the
    worse end of the tolerance. The order of summation is free. Raises ValueError where shapes or
    dtypes don't agree.
    """
    check_quantised(
        reconstruction,
        samples,
        verbatim,
        (residuals, patched),
        (max_abs_error, sum_squared_error, worst_sum_squared_error),
    )
    largest_residual, largest_error, magnitude_limit = limits(residuals, samples, max_error)
    y, x = reconstruction.astype(np.float64), samples.astype(np.float64)

    def error(moved: NDArray[np.float64]) -> NDArray[np.float64]:
        distance: NDArray[np.float64] = np.abs(finish(moved + k * step, samples.dtype) - x)
        return distance

    with np.errstate(over="ignore", invalid="ignore"):  # values that are not finite
        k = np.rint((x - y) * reciprocal(step))
        nominal, low, high = error(y), error(y - tolerance), error(y + tolerance)
        # Where y or x is not finite neither is k, be it NaN.
        holds = (np.abs(k) <= largest_residual) & (np.abs(x) < magnitude_limit)
        holds &= (low <= largest_error) & (high <= largest_error)
        if verbatim is not None:
            holds &= verbatim == 0
        np.copyto(residuals, np.where(holds, k, 0), casting="unsafe")
        np.copyto(patched, ~holds)
        kept = np.where(holds, nominal, 0)
        np.max(kept, axis=1, initial=0, out=max_abs_error)
        np.sum(np.square(kept), axis=1, out=sum_squared_error)
        worst = np.where(holds, np.maximum(low, high), 0)
        np.sum(np.square(worst), axis=1, out=worst_sum_squared_error)


def reciprocal(step: float) -> float:
    """Return `1 / step`, and 0 for a step of 0: then every residual is 0."""
    return 1 / step if step else 0.0


def limits(residuals: Array, samples: Array, max_error: float) -> tuple[float, float, float]:
    """Return the largest residual and error allowed, and what samples' magnitudes are below."""
    dtype = dtype_of(samples)
    wide = dtype.kind != "f" and dtype.itemsize == 8
    return (
        float(np.iinfo(dtype_of(residuals)).max),
        min(max_error, sys.float_info.max),  # an infinite error never passes
        EXACT_INTEGERS if wide else np.inf,
    )


def check_restored(reconstruction: Array, residuals: Array, step: Array, *restored: Array) -> None:
    """Raise ValueError unless shapes and dtypes agree: the faster implementations don't look."""
    _check_elements(reconstruction, [residuals, *restored], residuals)
    _check_rows(residuals.shape[0], [step])


def check_quantised(
    reconstruction: Array,
    samples: Array,
    verbatim: Array | None,
    results: tuple[Array, Array],
    statistics: Sequence[Array],
) -> None:
    """Raise ValueError unless shapes and dtypes agree: the faster implementations don't look."""
    given = [samples] if verbatim is None else [samples, verbatim]
    _check_elements(reconstruction, [*given, *results], results[0])
    _check_rows(samples.shape[0], statistics)


def _check_elements(reconstruction: Array, elementwise: Sequence[Array], residuals: Array) -> None:
    shape, *others = (tuple(array.shape) for array in elementwise)
    decoded = tuple(reconstruction.shape)
    allowed = len(shape) == 2 and len(decoded) == 2
    allowed &= all(length in {1, full} for length, full in zip(decoded, shape, strict=False))
    if not allowed or any(other != shape for other in others):
        raise ValueError(
            "residuals: expected shapes (n or 1, elements or 1), then (n, elements), found "
            + ", ".join(map(str, [decoded, shape, *others]))
        )
    if dtype_of(residuals) not in (np.int8, np.int16, np.int32):
        raise ValueError(f"residuals: expected int8, int16 or int32, found {residuals.dtype}")


def _check_rows(n: int, rows: Sequence[Array]) -> None:
    if any(tuple(array.shape) != (n,) for array in rows):
        found = ", ".join(str(tuple(array.shape)) for array in rows)
        raise ValueError(f"residuals: expected a number for each of {n} samples, found {found}")
