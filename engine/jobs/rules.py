"""What a job keeps to when it makes shards with a guarantee: fixed before the first of them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cuda_kernels.residuals.step import round_down, short_step, steps
from engine.guarantee import Guarantee
from engine.jobs.survey import Survey

# Quantising errors are uniform at best, so the coarsest step whose mean squared error fits is
# sqrt(12) of the root mean square allowed; at twice of it no element is ever too far.
_UNIFORM_STEPS = (math.sqrt(12.0), 2.0)
_WIDEST = np.dtype(np.int32)


@dataclass(frozen=True)
class Rules:
    """The steps to try, and what they must keep; all in physical units.

    Args of the dataclass:
        guarantee: the promise.
        dtype: of the samples.
        max_error: bound of an element, rounded down to `dtype`; infinite where there is none.
        max_squared_error: bound of the mean squared error of a sample, or infinite.
        room: how far a reader's reconstruction may lie from the writer's; None without a network.
        residual_steps: steps of residuals, the coarsest first.
        quantised_steps: steps of plainly quantised samples, the coarsest first.
        base: the constant that plainly quantised samples are residuals of, or None where no
            integers reach all samples from it: then each shard has its own.
        quantised_dtype: of these residuals, or None where there are none.
    """

    guarantee: Guarantee
    dtype: np.dtype[Any]
    max_error: float
    max_squared_error: float
    room: float | None
    residual_steps: tuple[float, ...]
    quantised_steps: tuple[float, ...]
    base: float | None
    quantised_dtype: np.dtype[Any] | None

    def without_network(self) -> Rules:
        """The same for a store that uses no network."""
        return dataclasses.replace(self, room=None, residual_steps=())


def make_rules(
    guarantee: Guarantee, dtype: np.dtype[Any], survey: Survey, room: float | None
) -> Rules:
    """Derive steps and bounds from the promise, the data's range and the room for drift."""
    max_error = round_down(guarantee.element_bound, dtype)
    quantised_steps = _steps(guarantee, dtype, survey, max_error, 0.0)
    base = _base(survey, quantised_steps[0], dtype) if quantised_steps else 0.0
    reaching = _narrowest(survey, base, quantised_steps)
    return Rules(
        guarantee=guarantee,
        dtype=dtype,
        max_error=max_error,
        max_squared_error=guarantee.mean_squared_error_bound,
        room=room,
        residual_steps=() if room is None else _steps(guarantee, dtype, survey, max_error, room),
        quantised_steps=quantised_steps,
        base=base if reaching or not quantised_steps else None,
        quantised_dtype=reaching or (_WIDEST if quantised_steps else None),
    )


def _steps(
    guarantee: Guarantee, dtype: np.dtype[Any], survey: Survey, max_error: float, room: float
) -> tuple[float, ...]:
    if guarantee.kind == "none" or (guarantee.kind == "lossless" and dtype.kind == "f"):
        return ()
    if guarantee.kind == "min-psnr":
        allowed = math.sqrt(guarantee.mean_squared_error_bound) - room
        if dtype.kind != "f":  # finer than this no rounded value can be
            allowed = max(allowed, 0.5 - room)
        found = {short_step(allowed / 2 * factor) for factor in _UNIFORM_STEPS}
        return tuple(sorted(found - {0.0}, reverse=True))
    return steps(max_error, dtype, survey.smallest_magnitude, survey.largest_magnitude, room)


def _base(survey: Survey, step: float, dtype: np.dtype[Any]) -> float:
    """Whole steps above the lowest value, which so comes back as it is, near the middle.

    The lowest is often the commonest by far: the black of images, the zeros of counts.
    """
    # No integers reach the middle of what has more steps.
    most = float(np.iinfo(_WIDEST).max)
    steps_up = math.floor(min((survey.high / 2 - survey.low / 2) / step + 0.5, most))
    whole_steps = survey.low + steps_up * step
    return middle(whole_steps, whole_steps, dtype)


def middle(low: float, high: float, dtype: np.dtype[Any]) -> float:
    """The value of `dtype` next to the middle between two of its values."""
    between = low / 2 + high / 2
    return float(math.ceil(between)) if dtype.kind != "f" else float(dtype.type(between))


def _narrowest(
    survey: Survey, base: float, quantised_steps: tuple[float, ...]
) -> np.dtype[Any] | None:
    """The narrowest integers that reach from the base to both ends of the data at every step."""
    if not quantised_steps:
        return None
    reach = max(survey.high - base, base - survey.low) / min(quantised_steps)
    for dtype in (np.dtype(np.int8), np.dtype(np.int16), _WIDEST):
        if reach + 1 <= np.iinfo(dtype).max:
            return dtype
    return None
