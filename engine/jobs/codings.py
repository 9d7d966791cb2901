"""How the arrays that keep a guarantee are coded: what is smallest on spread chunks."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from engine.jobs.choose_coding import choose_coding
from engine.jobs.guaranteed_shards import GuaranteedShards
from engine.jobs.shard_facts import SourceFacts
from engine.jobs.shard_task import Batches
from engine.jobs.ways import ways
from engine.sources import spread_rows
from engine.store.coding import ZSTD, Coded, Coding
from engine.store.plan import PATCHED, PATCHES, QUANTISED, RESIDUALS, VERBATIM, StorePlan

_CHUNKS = 8
# Patches are mostly zeros, with whole samples or the same elements of all samples in between.
_SPARSE = Coded(coding=Coding(ZSTD, 3, samples_last=False))


def choose_codings(
    plan: StorePlan,
    shards: GuaranteedShards,
    batches: Callable[[int, int], Batches],
) -> StorePlan:
    """The plan with the coding measured for each array that holds residuals or samples."""
    chunks: dict[str, list[NDArray[Any]]] = defaultdict(list)
    size = plan.grid.chunk_samples
    for chunk in spread_rows(max(1, plan.grid.samples // size), _CHUNKS):
        start = int(chunk) * size
        count = min(size, plan.grid.samples - start)
        shard = shards.run(batches(start, start + count), count, SourceFacts())
        tried: set[str] = set()
        for way in ways(shard, shards.rules, keep_latents=False):
            for name in {RESIDUALS, QUANTISED, VERBATIM} & way.rows.keys() - tried:
                chunks[name].append(way.rows[name])
                tried.add(name)
    chosen = {name: choose_coding(found, portable=plan.portable) for name, found in chunks.items()}
    return dataclasses.replace(plan, coded=chosen | {PATCHED: _SPARSE, PATCHES: _SPARSE})
