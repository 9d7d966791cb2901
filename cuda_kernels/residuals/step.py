"""Which quantiser steps of the residuals a bound leaves room for."""

import math
import sys
from typing import Any

import numpy as np

STEP_BITS = 12
INTEGER_SLACK = 2.0**-12
EXACT_INTEGERS = 2.0**53  # below this, a float64 tells every integer from its neighbours


def round_down(value: float, dtype: np.dtype[Any]) -> float:
    """Return the largest value of `dtype` that is not above the bound `value`.

    `value` is not negative, in physical units; infinity stays infinite. Only so is an error that is
    within the bound still within it when it's computed in the sample's own dtype. Bounds of
    integers end below 2**53, where a float64 can't tell errors apart.
    """
    if math.isinf(value):
        return value
    if dtype.kind != "f":
        return min(float(math.floor(value)), EXACT_INTEGERS - 1)
    with np.errstate(over="ignore"):
        rounded = dtype.type(value)
    # NumPy would compare the two in `dtype`, where they are equal.
    return float(rounded if float(rounded) <= value else np.nextafter(rounded, dtype.type(0)))


def short_step(half_step: float) -> float:
    """Return the largest step of 12 significant bits that is at most twice `half_step`.

    So the product with an int32 is exact in float64, and fused multiply-adds change nothing.
    0.0 says that there is no usable step: `half_step` is not positive, or too small for a float64
    with a finite reciprocal.
    """
    mantissa, exponent = math.frexp(2 * min(max(half_step, 0.0), sys.float_info.max / 2))
    whole = math.floor(math.ldexp(mantissa, STEP_BITS))
    step = math.ldexp(whole, exponent - STEP_BITS)
    return step if step >= sys.float_info.min else 0.0


def half_step(
    max_error: float,
    dtype: np.dtype[Any],
    smallest_magnitude: float,
    largest_magnitude: float,
    tolerance: float,
) -> float:
    """Return half the step at which hardly an element fails the bound.

    `max_error` is finite and rounded down to `dtype`; the magnitudes are the least and the greatest
    absolute value among the samples, or a wider range; `tolerance` is how far a reader's
    reconstruction may lie from the writer's. All are in physical units. A result that isn't
    positive says that there is no room. At a `tolerance` of 0 integers are taken to be restored
    from integers.
    """
    if dtype.kind == "f":
        return _grid_room(max_error, dtype, smallest_magnitude, largest_magnitude) - tolerance
    if tolerance == 0:
        return max_error + 0.5
    return max_error + 0.5 - INTEGER_SLACK - tolerance


def steps(
    max_error: float,
    dtype: np.dtype[Any],
    smallest_magnitude: float,
    largest_magnitude: float,
    tolerance: float,
) -> tuple[float, ...]:
    """Return the steps worth trying, the largest first, none where there is no room.

    The arguments are those of `half_step`. For floats the plain `max_error - tolerance` competes
    with it: where it is larger, more elements fail, and the others cost less.
    """
    halves = [half_step(max_error, dtype, smallest_magnitude, largest_magnitude, tolerance)]
    if dtype.kind == "f":
        halves.append(max_error - tolerance)
    return tuple(sorted({short_step(half) for half in halves} - {0.0}, reverse=True))


def _grid_room(
    max_error: float, dtype: np.dtype[Any], smallest_magnitude: float, largest_magnitude: float
) -> float:
    """Return how far from any sample a float64 may lie and still be cast within the bound.

    In a binade of spacing u, samples lie `floor(max_error / u)` spacings apart at most, and half a
    spacing more is rounded away. Samples as fine as the bound itself leave the room of the bound.
    """
    finest, bound, coarsest = (
        _spacing(value, dtype) for value in (smallest_magnitude, max_error, largest_magnitude)
    )
    room = max_error if finest <= bound else math.inf
    spacing = max(finest, bound)
    while spacing <= coarsest:
        room = min(room, (math.floor(max_error / spacing) + 0.5) * spacing)
        spacing *= 2
    return room


def _spacing(magnitude: float, dtype: np.dtype[Any]) -> float:
    """Return the distance of neighbours in the binade of `magnitude`, the greatest one included."""
    info = np.finfo(dtype)
    _, exponent = math.frexp(max(magnitude, float(info.smallest_normal)))
    return math.ldexp(1.0, exponent - 1 - info.nmant)
