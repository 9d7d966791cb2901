"""What a comparison found."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from engine.comparing.facts import Facts
from engine.comparing.point import Point
from engine.comparing.record import Measured, Refusal


@dataclass(frozen=True, eq=False)
class Comparison:
    """Points with pictures, what codecs refused, peers that aren't installed, and advice.

    `missing` says why, one line a peer; `originals` are the first test samples.
    """

    facts: Facts
    measured: tuple[Measured, ...]
    refusals: tuple[Refusal, ...]
    missing: tuple[str, ...]
    advice: tuple[str, ...]
    originals: NDArray[Any]

    @property
    def points(self) -> tuple[Point, ...]:
        """The points alone, in the order of measuring."""
        return tuple(measured.point for measured in self.measured)

    def to_json(self) -> dict[str, Any]:
        """JSON-able: everything but the samples; every point with its size at `for_samples`."""
        count = self.facts.for_samples
        return {
            "facts": dataclasses.asdict(self.facts),
            "points": [
                point.to_json() | {"sample_bytes": point.sample_bytes(count)}
                for point in self.points
            ],
            "refusals": [dataclasses.asdict(refusal) for refusal in self.refusals],
            "missing": list(self.missing),
            "advice": list(self.advice),
        }
