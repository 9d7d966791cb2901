"""What a codec that is trained for its rate aims at."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cuda_kernels.residuals.step import round_down
from engine.errors import InvalidInput
from engine.training.rate import RatePoint

DEFAULT_PSNR_DB = 30.0
_HALVINGS = 18
_CLEARLY = 0.98  # few held-out samples tell apart no less
_GRID, _REFINEMENTS = 2.0, 8


@dataclass(frozen=True)
class RateTarget:
    """Exactly one of: the PSNR of held-out samples, bytes a sample, the price of a bit, a bound.

    `target_bytes` counts latents at their empirical entropy; `rate_lambda` is the squared error of
    a sample, summed over its elements with the data's range as 1, that one bit may cost.
    `max_error` bounds the error of each element, in physical units: latents and residuals together
    are to be few.
    """

    target_psnr: float | None = None
    target_bytes: float | None = None
    rate_lambda: float | None = None
    max_error: float | None = None

    def __post_init__(self) -> None:
        """Refuse none, several, and values that no codec has."""
        given = self.as_json()
        if len(given) != 1:
            raise InvalidInput(
                f"expected one of {', '.join(asdict(self))}, got {', '.join(given) or 'none'}"
            )
        ((name, value),) = given.items()
        if not (math.isfinite(value) and value > 0):
            raise InvalidInput(f"{name} must be a finite number above 0, got {value}")

    def as_json(self) -> dict[str, float]:
        """Return what was given, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def find(self, measure: Callable[[float], RatePoint], low: float, high: float) -> RatePoint:
        """Return the point that meets the target, of steps between `low` and `high`.

        `measure` tells what a step makes; a larger one must cost fewer bits and lose quality.

        Raises:
            InvalidInput: the quality isn't reached at the finest step.
        """
        if self.rate_lambda is not None:
            return measure(step_of(self.rate_lambda))
        if self.max_error is not None:
            return _fewest_bits(measure, low, high)
        fine, coarse = measure(low), measure(high)
        if self.target_psnr is not None and fine.psnr_db < self.target_psnr:
            raise InvalidInput(
                f"target_psnr {self.target_psnr:g} dB is out of reach: {fine.channels} channels of "
                f"16 bits reach {fine.psnr_db:.2f} dB on held-out samples; lower it"
            )
        for _ in range(_HALVINGS):
            point = measure(math.sqrt(fine.step * coarse.step))
            if self._may_be_coarser(point):
                fine = point
            else:
                coarse = point
        return coarse if self.target_psnr is None or self._may_be_coarser(coarse) else fine

    def residual_step(self, dtype: np.dtype[Any]) -> float | None:
        """The distance of residuals that keep `dtype` within the bound, drift apart; None without.

        It is in physical units.
        """
        if self.max_error is None:
            return None
        bound = round_down(self.max_error, dtype)
        return 2 * bound if dtype.kind == "f" else 2 * bound + 1

    def prefers(self, point: RatePoint, other: RatePoint) -> bool:
        """Whether `point` is clearly better than another, cheaper one that meets it, too."""
        return self._cost(point) < _CLEARLY * self._cost(other)

    def _cost(self, point: RatePoint) -> float:
        if self.rate_lambda is not None:
            return point.squared_error + self.rate_lambda * point.total_bits
        if self.target_bytes is not None:
            return point.squared_error + price_of(point.step) * point.decoder_bits
        return point.total_bits

    def _may_be_coarser(self, point: RatePoint) -> bool:
        if self.target_psnr is not None:
            return point.psnr_db >= self.target_psnr
        return point.bits_per_sample > 8 * (self.target_bytes or 0.0)


def choose_target(
    target_psnr: float | None = None,
    target_bytes: float | None = None,
    rate_lambda: float | None = None,
    max_error: float | None = None,
) -> RateTarget:
    """Return the target given, or 30 dB where none is.

    Raises:
        InvalidInput: several, or a value out of range.
    """
    if target_psnr is target_bytes is rate_lambda is max_error is None:
        target_psnr = DEFAULT_PSNR_DB
    return RateTarget(target_psnr, target_bytes, rate_lambda, max_error)


def _fewest_bits(measure: Callable[[float], RatePoint], low: float, high: float) -> RatePoint:
    """The point of least bits in all: the best of a grid, then of ever closer neighbours.

    Where steps cost the same, the coarsest.
    """
    count = math.ceil(math.log(high / low, _GRID))
    factor = (high / low) ** (1 / count)
    points = [measure(high / factor**place) for place in range(count + 1)]
    best = min(points, key=lambda point: point.total_bits)
    for _ in range(_REFINEMENTS):
        factor = math.sqrt(factor)
        sides = [measure(min(max(best.step * by, low), high)) for by in (factor, 1 / factor)]
        best = min(best, *sides, key=lambda point: point.total_bits)
    return best


def price_of(step: float) -> float:
    """The squared error that one bit is worth to a uniform quantiser of `step`.

    Its error is step^2 / 12, and one bit less doubles the step. Source: Gish and Pierce,
    "Asymptotically efficient quantizing", 1968.
    """
    return step**2 * math.log(2) / 6


def step_of(price: float) -> float:
    """The step at which one bit is worth so much squared error: the inverse of `price_of`."""
    return math.sqrt(6 * price / math.log(2))
