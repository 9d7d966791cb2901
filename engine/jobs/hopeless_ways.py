"""Which ways not to encode a shard for: those that are larger on a part of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jobs.rules import Rules
from engine.jobs.ways import Kind, ShardSamples, Way, ways
from engine.runtime.quantiser import Bounds, Quantised, Quantiser
from engine.store.plan import StorePlan
from engine.store.shard import encode_chunk

_LEAST_CHUNKS = 3  # of a shard that is worth looking at in part
_RUNS = 4
_HOPELESS = 1.1  # times the smallest


def hopeless_ways(shard: ShardSamples, rules: Rules, plan: StorePlan) -> frozenset[Kind]:
    """The ways that keep as many samples as a chunk has, from all over the shard, much larger.

    None of a shard of few chunks.
    """
    chunk_samples = plan.grid.chunk_samples
    if len(shard.samples) < _LEAST_CHUNKS * chunk_samples:
        return frozenset()
    part = _part(shard, _spread_runs(len(shard.samples), chunk_samples))
    tried = ways(part, rules, keep_latents=plan.keep_latents)
    sizes = {way.kind: size_bytes(way, plan) for way in tried}
    limit = _HOPELESS * min(sizes.values())
    return frozenset(kind for kind, size in sizes.items() if size > limit)


def size_bytes(way: Way, plan: StorePlan) -> int:
    """What a way takes as one chunk of each array."""
    return sum(len(encode_chunk(rows, plan.array(name).coded)) for name, rows in way.rows.items())


def _spread_runs(count: int, chosen: int) -> NDArray[np.bool_]:
    """Mark so many of `count` samples, in some runs: neighbours may be alike."""
    runs = min(_RUNS, chosen)
    marks = np.zeros(count, np.bool_)
    for run in range(runs):
        start = count * run // runs
        marks[start : start + chosen * (run + 1) // runs - chosen * run // runs] = True
    return marks


def _part(shard: ShardSamples, chosen: NDArray[np.bool_]) -> ShardSamples:
    """Some of the samples of a shard."""
    quantiser = None if shard.reconstruction is None else _PartQuantiser(shard.quantiser, chosen)
    return ShardSamples(
        shard.samples[chosen],
        _chosen(shard.verbatim, chosen),
        _chosen(shard.latents, chosen),
        quantiser,
        _chosen(shard.uncovered, chosen),
    )


def _chosen(values: NDArray[Any] | None, chosen: NDArray[np.bool_]) -> NDArray[Any] | None:
    return None if values is None else values[chosen]


class _PartQuantiser:
    """Takes residuals of some samples of a shard."""

    def __init__(self, whole: Quantiser, chosen: NDArray[np.bool_]) -> None:
        self._whole, self._chosen = whole, chosen

    def __call__(
        self,
        base: float | None,
        bounds: Bounds,
        dtype: np.dtype[Any],
        rows: NDArray[np.bool_] | None = None,
    ) -> Quantised:
        """See `Quantiser`."""
        within = self._chosen.copy()
        if rows is not None:
            within[self._chosen] = rows
        return self._whole(base, bounds, dtype, within)
