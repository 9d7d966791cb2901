"""What one codec saves beside another at equal quality, over all the qualities that both reach."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.comparing.point import Point

_QUALITIES = 64


def saving(points: Sequence[Point], method: str, other: str) -> float | None:
    """The share of bytes that `method` saves on average, below 0 where it takes more.

    Of what one more sample takes, without a promise; sizes are interpolated between points by
    their logarithm. None where no quality is reached by both.

    Source: Bjontegaard, "Calculation of average PSNR differences between RD-curves", 2001.
    """
    ours, theirs = (_curve(points, name) for name in (method, other))
    if not (len(ours) and len(theirs)):
        return None
    low, high = max(ours[0, 0], theirs[0, 0]), min(ours[-1, 0], theirs[-1, 0])
    if not low < high:
        return None
    at = np.linspace(low, high, _QUALITIES)
    apart = np.interp(at, *ours.T) - np.interp(at, *theirs.T)
    return float(1 - np.exp(apart.mean()))


def _curve(points: Sequence[Point], method: str) -> NDArray[np.float64]:
    """Qualities, ascending, and the logarithm of the fewest bytes for each or better: `(n, 2)`."""
    found = sorted(
        (quality_of(point), math.log(max(1, point.payload_bytes) / point.samples))
        for point in points
        if point.method == method and point.bound is None and math.isfinite(quality_of(point))
    )
    curve = np.array(found, np.float64).reshape(-1, 2)
    curve[:, 1] = np.minimum.accumulate(curve[::-1, 1])[::-1]
    return curve


def quality_of(point: Point) -> float:
    """What vectors and other samples are judged by: recall, PSNR."""
    return point.psnr_db if point.recall_at_10 is None else point.recall_at_10
