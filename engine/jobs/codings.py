"""What a store is made of, measured on a few chunks spread over the data."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.geometry import RowGrid
from engine.jobs.choose_coding import choose_coding
from engine.jobs.choose_context import MOST_SAVED, choose_context
from engine.jobs.choose_latent_coding import choose_latent_coding
from engine.jobs.guaranteed_shards import GuaranteedShards
from engine.jobs.hopeless_ways import size_bytes
from engine.jobs.shard_facts import SourceFacts
from engine.jobs.shard_task import Blocks
from engine.jobs.ways import Way, ways
from engine.runtime.codec import Codec
from engine.store.coding import ZSTD, Coded, Coding
from engine.store.plan import (
    LATENTS,
    PATCHED,
    PATCHES,
    QUANTISED,
    RESIDUALS,
    VERBATIM,
    StorePlan,
)

_CHUNKS = 4
# More chunks are looked at where networks run on, and codings code, so many more values anyway.
_SHARE = 1 / 16
_LATENT_SAMPLES, _VALUES = 4096, 1 << 18
_GOLDEN = (math.sqrt(5.0) - 1) / 2
_CONTEXTUAL = {RESIDUALS, QUANTISED, VERBATIM}
_MEASURED = {LATENTS, PATCHED, PATCHES} | _CONTEXTUAL
# Where none of the chunks has patches they are rare, and mostly whole samples.
_RARE = Coded(coding=Coding(ZSTD, 3, samples_last=False))


def choose_codings(
    plan: StorePlan,
    shards: GuaranteedShards,
    blocks: Callable[[int, int], Blocks],
    workers: int,
) -> StorePlan:
    """The plan with the codings that are smallest, and with the network only if it pays for itself.

    `blocks` yields the samples [start, stop); so many `workers` try codings at once.
    """
    tried: list[list[Way]] = []
    encoded: dict[int, NDArray[Any] | None] = {}
    for start, stop in _compared_chunks(plan):
        shard = shards.run(blocks(start, stop), stop - start, SourceFacts())
        tried.append(list(ways(shard, shards.rules, keep_latents=plan.keep_latents)))
        encoded[start] = shard.latents
    chunks = _rows_by_array(tried)
    uses_latents = chunks.pop(LATENTS, None) is not None
    choose = functools.partial(choose_coding, portable=plan.portable)
    with ThreadPoolExecutor(workers, thread_name_prefix="coding") as pool:
        coded = dict(zip(chunks, pool.map(choose, chunks.values()), strict=True))
    plan = dataclasses.replace(plan, coded={PATCHED: _RARE, PATCHES: _RARE} | coded)
    if uses_latents and not plan.portable:
        plan = with_latent_coding(plan, list(_latents(plan.grid, shards, blocks, encoded)))
    with_contexts = plan if plan.portable else _with_contexts(plan, chunks, tried)
    sized = [_sized(found, with_contexts) for found in tried]
    if not _network_pays(plan, sized):
        plan = plan.without_network()
        sized = [_parts(found)[-1] for found in sized]
    return _with_used(plan, with_contexts.coded, sized)


def _latents(
    grid: RowGrid,
    shards: GuaranteedShards,
    blocks: Callable[[int, int], Blocks],
    encoded: Mapping[int, NDArray[Any] | None],
) -> Iterator[NDArray[Any]]:
    """Latents of the chunks that tables are fitted to; `encoded` are there, by their first row."""
    for start, stop in tried_chunks(grid):
        latents = encoded.get(start)
        yield shards.encode(blocks(start, stop), stop - start) if latents is None else latents


def choose_latents_alone(
    plan: StorePlan, codec: Codec, blocks: Callable[[int, int], Blocks]
) -> StorePlan:
    """The plan of a store without a guarantee, with the coding that is smallest for its latents.

    `blocks` yields the samples [start, stop).
    """
    if plan.portable:
        return plan
    chunks = [
        np.concatenate([codec.encode(block, plan.step) for _, block in blocks(start, stop)])
        for start, stop in tried_chunks(plan.grid)
    ]
    return with_latent_coding(plan, chunks)


def tried_chunks(grid: RowGrid) -> Iterator[tuple[int, int]]:
    """The rows of the chunks whose latents say how all are coded."""
    return _spread_chunks(grid, _affordable(grid, _LATENT_SAMPLES))


def with_latent_coding(plan: StorePlan, chunks: Sequence[NDArray[Any]]) -> StorePlan:
    """The plan with the coding that is smallest for latents like these `chunks`."""
    if plan.portable or not chunks:
        return plan
    coding = choose_latent_coding(chunks, plan.grid.samples)
    return dataclasses.replace(plan, coded={**plan.coded, LATENTS: Coded(coding=coding)})


def _compared_chunks(plan: StorePlan) -> Iterator[tuple[int, int]]:
    """The rows of the chunks that all ways are tried on."""
    values = math.prod(plan.codec.manifest.sample.shape)
    return _spread_chunks(plan.grid, _affordable(plan.grid, _VALUES // max(1, values)))


def _affordable(grid: RowGrid, samples: int) -> int:
    """How many chunks to look at: of so many samples, if that is a small part of all."""
    return max(_CHUNKS, min(samples, int(grid.samples * _SHARE)) // grid.chunk_samples)


def _spread_chunks(grid: RowGrid, count: int) -> Iterator[tuple[int, int]]:
    """The rows of some chunks from all of the data; a short one only if there is no other."""
    chunks = max(1, grid.samples // grid.chunk_samples)
    count = min(count, chunks)
    for part in range(count):
        # One from each part, at changing places: data with a period isn't met at one phase of it.
        first, last = part * chunks // count, (part + 1) * chunks // count
        start = (first + int(part * _GOLDEN % 1 * (last - first))) * grid.chunk_samples
        yield start, min(start + grid.chunk_samples, grid.samples)


def _rows_by_array(tried: Iterable[Iterable[Way]]) -> dict[str, list[NDArray[Any]]]:
    """Of each chunk, the first rows that any way has for an array."""
    chunks: dict[str, list[NDArray[Any]]] = defaultdict(list)
    for found in tried:
        seen: set[str] = set()
        for way in found:
            for name in _MEASURED & way.rows.keys() - seen:
                chunks[name].append(way.rows[name])
                seen.add(name)
    return chunks


class _Sized(NamedTuple):
    """A way to keep a chunk, and what it takes."""

    way: Way
    size_bytes: int


def _sized(found: Iterable[Way], plan: StorePlan) -> list[_Sized]:
    return [_Sized(way, size_bytes(way, plan)) for way in found]


def _parts(found: Iterable[_Sized]) -> list[list[_Sized]]:
    """The ways with the network, then those without; what there is none of is left out."""
    parts: dict[bool, list[_Sized]] = {True: [], False: []}
    for each in found:
        parts[each.way.mode.needs_network].append(each)
    return [part for part in parts.values() if part]


def _smallest(found: Iterable[_Sized]) -> _Sized:
    return min(found, key=lambda each: each.size_bytes)


def _with_contexts(
    plan: StorePlan, chunks: Mapping[str, Sequence[NDArray[Any]]], tried: Iterable[Iterable[Way]]
) -> StorePlan:
    """The plan with contexts for the arrays that they save something of.

    Those are left out that not even contexts could make part of the smallest way, with the network
    or without.
    """
    hopeful: set[str] = set()
    for found in tried:
        for part in _parts(_sized(found, plan)):
            most = _smallest(part).size_bytes / (1 - MOST_SAVED)
            names = (each.way.rows.keys() for each in part if each.size_bytes <= most)
            hopeful |= _CONTEXTUAL.intersection(itertools.chain.from_iterable(names))
    coded = {
        name: choose_context(chunks[name], plan.grid.samples, plan.array(name).coded)
        for name in sorted(hopeful)
    }
    return dataclasses.replace(plan, coded={**plan.coded, **coded})


def _with_used(
    plan: StorePlan, contextual: Mapping[str, Coded], tried: Iterable[Iterable[_Sized]]
) -> StorePlan:
    """The plan with the `contextual` codings of arrays that are part of the smallest ways.

    Others would only keep a model that nothing is read by.
    """
    used = {name for found in tried for name in _smallest(found).way.rows}
    changed = {name: contextual[name] for name in plan.coded.keys() & used}
    return dataclasses.replace(plan, coded={**plan.coded, **changed})


def _network_pays(plan: StorePlan, tried: Sequence[Sequence[_Sized]]) -> bool:
    """Whether the ways with the network save more than it takes, or latents are wanted anyway."""
    if not plan.may_do_without_network:
        return True
    measured = sum(len(found[0].way.max_abs_error) for found in tried)
    saved_bytes = sum(map(_saved_bytes, tried)) * plan.grid.samples / measured
    # What networks take is found by compressing them, in vain where nothing is saved.
    return saved_bytes > 0 and saved_bytes > plan.network_bytes


def _saved_bytes(found: Iterable[_Sized]) -> int:
    """How much smaller than all others the ways with the network keep a chunk."""
    smallest = [_smallest(part).size_bytes for part in _parts(found)]
    return max(0, smallest[1] - smallest[0]) if len(smallest) > 1 else 0
