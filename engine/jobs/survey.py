"""One pass over a dataset for what a guarantee must know of it: range, gaps, fill values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.runtime.calibration import blocks
from engine.sources import Source

# An extreme value that makes up a good part of many lies apart at a smaller gap.
_MANY, _COMMON_SHARE, _COMMON_GAP = 1000, 0.02, 1 / 4


@dataclass(frozen=True)
class Survey:
    """What one pass over the data found.

    `low` and `high` are the smallest and largest finite value that is no fill value, both 0 where
    there is none; `nonfinite` counts NaN and infinities. `fill_values` are kept bit for bit.
    """

    low: float
    high: float
    nonfinite: int
    fill_values: tuple[float, ...]

    @property
    def span(self) -> float:
        """High - low."""
        return self.high - self.low

    @property
    def smallest_magnitude(self) -> float:
        """A lower bound of all absolute values between low and high."""
        return max(0.0, self.low, -self.high)

    @property
    def largest_magnitude(self) -> float:
        """Largest absolute value between low and high."""
        return max(abs(self.low), abs(self.high))

    def verbatim(self, samples: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Mask of the elements to keep bit for bit, or None where a survey found none at all."""
        masks = [samples == value for value in self.fill_values]
        if self.nonfinite:
            masks.append(~np.isfinite(samples))
        return np.logical_or.reduce(masks) if masks else None


def survey(source: Source, fill_values: Iterable[float] | None) -> Survey:
    """Read all samples once.

    Args:
        source: the samples.
        fill_values: values that mark missing elements; None looks for them: an extreme value
            that occurs more than once and lies further from all others than these lie apart, or a
            quarter of that if it makes up 2 % of all values.
    """
    given = () if fill_values is None else tuple(fill_values)
    nonfinite = 0
    extremes = _Extremes()
    for _, block in blocks(source):
        values = block[np.isfinite(block)] if block.dtype.kind == "f" else block.ravel()
        nonfinite += block.size - values.size
        for value in given:
            values = values[values != value]
        extremes.add(values)
    # Of one-byte samples every value is ordinary: 0 and 255 are black and white.
    found = extremes.isolated() if fill_values is None and source.dtype.itemsize > 1 else ()
    low, high = extremes.without(found)
    return Survey(low, high, nonfinite, tuple(sorted({*given, *found})))


class _Extremes:
    """The two smallest and the two largest distinct values, and how often the outer two occur."""

    def __init__(self) -> None:
        self._lowest: dict[float, int] = {}
        self._highest: dict[float, int] = {}
        self._count = 0

    def add(self, values: NDArray[Any]) -> None:
        self._count += values.size
        for kept, pick, beyond in (
            (self._lowest, np.min, np.greater),
            (self._highest, np.max, np.less),
        ):
            rest = values
            for _ in range(2):
                if rest.size == 0:
                    break
                extreme = pick(rest)
                others = rest[beyond(rest, extreme)]
                # Of integers an int: beyond 2**53 a float is another value.
                value = extreme.item()
                kept[value] = kept.get(value, 0) + rest.size - others.size
                rest = others
        self._lowest = dict(sorted(self._lowest.items())[:2])
        self._highest = dict(sorted(self._highest.items())[-2:])

    def isolated(self) -> tuple[float, ...]:
        """Those of the outermost values that lie apart from all others and occur repeatedly."""
        if min(len(self._lowest), len(self._highest)) < 2:
            return ()
        (lowest, low_count), (low, _) = self._lowest.items()
        (high, _), (highest, high_count) = self._highest.items()
        if not high > low:
            return ()
        below = self._apart(low - lowest, high - low, low_count)
        above = self._apart(highest - high, high - low, high_count)
        if not (below and above):  # then the other end is one of the ordinary values
            below = below and self._apart(low - lowest, highest - low, low_count)
            above = above and self._apart(highest - high, high - lowest, high_count)
        return tuple(value for value, found in ((lowest, below), (highest, above)) if found)

    def _apart(self, gap: float, span: float, count: int) -> bool:
        """Whether a gap is too wide for `count` ordinary values to lie beyond it."""
        common = self._count >= _MANY and count >= _COMMON_SHARE * self._count
        return count > 1 and gap > (span * _COMMON_GAP if common else span)

    def without(self, found: tuple[float, ...]) -> tuple[float, float]:
        lows = [value for value in self._lowest if value not in found]
        highs = [value for value in self._highest if value not in found]
        return float(min(lows, default=0)), float(max(highs, default=0))
