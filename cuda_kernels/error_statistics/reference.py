"""What a reader makes of a reconstruction, and how far that lies from the raw samples, in NumPy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_kernels.array import Array


def clip_range(dtype: np.dtype[Any]) -> tuple[float, float] | tuple[None, None]:
    """Return the smallest and the largest float64 that an integer dtype holds.

    A float dtype isn't clipped: `(None, None)`. Raises ValueError for any other dtype.
    """
    if dtype.kind == "f":
        return None, None
    limits = np.iinfo(dtype)
    low, high = float(limits.min), float(limits.max)
    if int(high) > limits.max:  # 2**63 - 1 and 2**64 - 1 round up to a float64 out of range
        high = float(np.nextafter(high, 0))
    return low, high


def finish(reconstruction: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the samples that a reader gets for what the decoder returned.

    `reconstruction`: any shape but (), float32 or float64; the result has its shape and `dtype`,
    and may be `reconstruction` itself. For an integer dtype values are rounded half to even, NaN
    becomes 0 and the rest is clipped to the `clip_range`; for a float dtype they are cast, so that
    what is too large becomes infinite. Raises ValueError for a dtype that is neither.
    """
    low, high = clip_range(dtype)
    if low is None:
        with np.errstate(over="ignore"):
            cast: NDArray[Any] = reconstruction.astype(dtype, copy=False)
        return cast
    # NumPy's promotion picks a float dtype in which both limits of a narrow dtype are exact.
    wide = np.result_type(reconstruction, dtype)
    rounded: NDArray[Any] = np.rint(reconstruction, dtype=wide)
    np.copyto(rounded, 0, where=np.isnan(rounded))
    return rounded.clip(low, high, out=rounded).astype(dtype)


def error_statistics(
    reconstruction: NDArray[Any],
    samples: NDArray[Any],
    max_abs_error: NDArray[np.float64],
    sum_squared_error: NDArray[np.float64],
) -> None:
    """Measure how far each finished sample lies from the raw one.

    `reconstruction` (n, elements) float32 or float64, as the decoder returns it; `samples`
    (n, elements), any integer dtype or float16 to float64. Writes `max_abs_error` (n,) and
    `sum_squared_error` (n,), both float64, in physical units and their square. The error is taken
    in float64, as `|float64(finish(reconstruction)) - float64(samples)|`; the order of summation is
    free. A NaN error makes both results NaN; without elements both are 0. Raises ValueError where
    shapes don't agree.
    """
    check_shapes(reconstruction, samples, max_abs_error, sum_squared_error)
    finished = finish(reconstruction, samples.dtype)
    with np.errstate(invalid="ignore", over="ignore"):  # values that are not finite
        error = np.abs(np.subtract(finished, samples, dtype=np.float64))
        np.max(error, axis=1, initial=0, out=max_abs_error)
        np.sum(np.square(error), axis=1, out=sum_squared_error)


def check_shapes(
    reconstruction: Array, samples: Array, max_abs_error: Array, sum_squared_error: Array
) -> None:
    """Raise ValueError unless the four shapes agree: the faster implementations don't look."""
    shapes = [
        tuple(array.shape) for array in (reconstruction, samples, max_abs_error, sum_squared_error)
    ]
    if len(shapes[1]) != 2 or shapes != [shapes[1], shapes[1], shapes[1][:1], shapes[1][:1]]:
        raise ValueError(
            "error_statistics: expected shapes (n, elements), (n, elements), (n,), (n,), found "
            + ", ".join(map(str, shapes))
        )
