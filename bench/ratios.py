"""What a benchmark found, beside what it should reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ratio:
    """A measured ratio, or a time or size in `unit`, with what it must reach and what it aims at.

    `at_most`: less is better.
    """

    what: str
    measured: float
    target: float | None = None
    aim: float | None = None
    at_most: bool = False
    unit: str = "x"

    @property
    def verdict(self) -> str:
        """Whether aim or target is reached; empty where there is none."""
        if self.target is None:
            return ""
        if self._reaches(self.target if self.aim is None else self.aim):
            return "aim"
        return "target" if self._reaches(self.target) else "MISSED"

    def to_json(self) -> dict[str, Any]:
        """The ratio first, to three digits; what it was held against, where there is something."""
        held = {"target": self.target, "aim": self.aim, "reached": self.verdict}
        given = held if self.target is not None else {}
        return {"measured": self._shown, "unit": self.unit, **given}

    @property
    def _shown(self) -> float:
        """Three digits, which is more than a measurement is good for."""
        return float(f"{self.measured:.3g}")

    def _reaches(self, limit: float) -> bool:
        return self._shown <= limit if self.at_most else self._shown >= limit


def to_json(ratios: Sequence[Ratio]) -> dict[str, Any]:
    """All of them by what they are."""
    return {ratio.what: ratio.to_json() for ratio in ratios}


def print_ratios(ratios: Sequence[Ratio]) -> None:
    """Print a table."""
    width = max((len(ratio.what) for ratio in ratios), default=0)
    print(f"\n{'':{width}}  {'measured':>9}      {'target':>8}{'aim':>8}")
    for ratio in ratios:
        sign = "<" if ratio.at_most else ">"
        held = "".join(
            f"{'' if limit is None else f'{sign} {limit:g}':>8}"
            for limit in (ratio.target, ratio.aim)
        )
        line = f"{ratio.what:{width}}  {ratio.measured:9.3g} {ratio.unit:4} {held}  {ratio.verdict}"
        print(line.rstrip())
