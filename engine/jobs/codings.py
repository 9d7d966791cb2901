"""What a store is made of, measured on a few chunks spread over the data."""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
from engine.sources import spread_rows
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
# Tables are fitted to more samples where the networks run on so many more anyway.
_LATENT_SAMPLES, _LATENT_SHARE = 4096, 1 / 32
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
    samples = plan.grid.samples
    tried: list[list[Way]] = []
    measured = 0
    for start, stop in _spread_chunks(plan.grid, _CHUNKS):
        shard = shards.run(blocks(start, stop), stop - start, SourceFacts())
        tried.append(list(ways(shard, shards.rules, keep_latents=False)))
        measured += stop - start
    chunks = _rows_by_array(tried)
    latents = chunks.pop(LATENTS, [])
    choose = functools.partial(choose_coding, portable=plan.portable)
    with ThreadPoolExecutor(workers, thread_name_prefix="coding") as pool:
        coded = dict(zip(chunks, pool.map(choose, chunks.values()), strict=True))
    plan = dataclasses.replace(plan, coded={PATCHED: _RARE, PATCHES: _RARE} | coded)
    plan = with_latent_coding(plan, latents)
    sizes = [_way_bytes(plan, found) for found in tried]
    if not plan.portable:
        plan, sizes = _with_contexts(plan, chunks, tried, sizes)
    saved_bytes = sum(map(_saved_bytes, tried, sizes)) * samples / measured
    pays = saved_bytes > plan.network_bytes or not plan.may_do_without_network
    return plan if pays else plan.without_network()


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
    affordable = min(_LATENT_SAMPLES, int(grid.samples * _LATENT_SHARE))
    return _spread_chunks(grid, max(_CHUNKS, affordable // grid.chunk_samples))


def with_latent_coding(plan: StorePlan, chunks: Sequence[NDArray[Any]]) -> StorePlan:
    """The plan with the coding that is smallest for latents like these `chunks`."""
    if plan.portable or not chunks:
        return plan
    coding = choose_latent_coding(chunks, plan.grid.samples)
    return dataclasses.replace(plan, coded={**plan.coded, LATENTS: Coded(coding=coding)})


def _spread_chunks(grid: RowGrid, count: int) -> Iterator[tuple[int, int]]:
    """The rows of some chunks from all of the data; a short one only if there is no other."""
    for chunk in spread_rows(max(1, grid.samples // grid.chunk_samples), count):
        start = int(chunk) * grid.chunk_samples
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


def _with_contexts(
    plan: StorePlan,
    chunks: Mapping[str, Sequence[NDArray[Any]]],
    tried: Sequence[Sequence[Way]],
    sizes: list[list[int]],
) -> tuple[StorePlan, list[list[int]]]:
    """The plan with contexts for the arrays that they make part of the smallest ways.

    Others would only keep a model that nothing is read by. Also returns the new sizes of the ways.
    """
    hopeful = {
        name
        for found, of_each in zip(tried, sizes, strict=True)
        for way, size in zip(found, of_each, strict=True)
        if size * (1 - MOST_SAVED) <= min(of_each)
        for name in way.rows.keys() & _CONTEXTUAL
    }
    coded = {
        name: choose_context(chunks[name], plan.grid.samples, plan.array(name).coded)
        for name in sorted(hopeful)
    }
    with_all = dataclasses.replace(plan, coded={**plan.coded, **coded})
    new_sizes = [_way_bytes(with_all, found) for found in tried]
    used = {
        name
        for found, of_each in zip(tried, new_sizes, strict=True)
        for name in found[int(np.argmin(of_each))].rows
    }
    kept = {name: found for name, found in coded.items() if name in used}
    return dataclasses.replace(plan, coded={**plan.coded, **kept}), new_sizes


def _way_bytes(plan: StorePlan, tried: Iterable[Way]) -> list[int]:
    """What each way takes for a chunk."""
    return [size_bytes(way, plan) for way in tried]


def _saved_bytes(tried: Iterable[Way], sizes: Iterable[int]) -> int:
    """How much smaller than all others the ways with the network keep a chunk."""
    found: dict[bool, list[int]] = {True: [], False: []}
    for way, size in zip(tried, sizes, strict=True):
        found[way.mode.needs_network].append(size)
    if not found[True] or not found[False]:
        return 0
    return max(0, min(found[False]) - min(found[True]))
