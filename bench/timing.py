"""How the benchmarks measure: works take turns, so that what slows the machine slows them alike."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """Something to time: `run(turn)` handles `items` of what times are counted by."""

    run: Callable[[int], object]
    items: int = 1


@dataclass(frozen=True)
class Rounds:
    """Seconds an item that each work took in each round; warm-up rounds are left out."""

    seconds: Mapping[str, tuple[float, ...]]

    def median_s(self, name: str) -> float:
        """Median seconds an item."""
        return statistics.median(self.seconds[name])

    def time_ratio(self, name: str, limit: str) -> float:
        """How many times as long as `limit` a work takes: the median over the rounds."""
        pairs = zip(self.seconds[name], self.seconds[limit], strict=True)
        return statistics.median(ours / bare for ours, bare in pairs)

    def speed_ratio(self, name: str, limit: str) -> float:
        """How many times as fast as `limit` a work is: the median over the rounds."""
        return self.time_ratio(limit, name)

    def fastest(self) -> str:
        """The work with the lowest median."""
        return min(self.seconds, key=self.median_s)

    def items_per_s(self) -> dict[str, float]:
        """Median speed of every work, to four digits."""
        return {name: _rounded(1 / self.median_s(name)) for name in self.seconds}

    def medians(self, unit_s: float) -> dict[str, float]:
        """Median time an item of every work in a unit of so many seconds, to four digits."""
        return {name: _rounded(self.median_s(name) / unit_s) for name in self.seconds}


def interleave(
    works: Mapping[str, Work],
    rounds: int,
    *,
    warm_up: int = 1,
    settle: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> Rounds:
    """Time every work once a round, each time in another order: a work leaves its caches behind.

    `warm_up` rounds are run before and not counted. `settle`: let the disk finish what one work
    wrote before the next begins, which may have to wait for its own bytes. `clock` gives seconds:
    `time.thread_time` does not count what other processes take.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    shuffler = random.Random(0)
    for turn in range(warm_up + rounds):
        for name in shuffler.sample(list(works), len(works)):
            if settle:
                os.sync()
            began = clock()
            works[name].run(turn)
            elapsed_s = clock() - began
            if turn >= warm_up:
                seconds[name].append(elapsed_s / works[name].items)
    return Rounds({name: tuple(values) for name, values in seconds.items()})


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
