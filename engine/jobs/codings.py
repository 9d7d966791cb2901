"""What a store is made of, measured on a few chunks spread over the data."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.geometry import RowGrid
from engine.jobs.choose_coding import choose_coding
from engine.jobs.choose_latent_coding import choose_latent_coding
from engine.jobs.guaranteed_shards import GuaranteedShards
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
from engine.store.shard import encode_chunk

_CHUNKS = 4
# Tables are fitted to more chunks where the networks run on so many more anyway.
_LATENT_CHUNKS, _LATENT_SHARE = 16, 1 / 32
_MEASURED = {LATENTS, RESIDUALS, QUANTISED, VERBATIM, PATCHED, PATCHES}
# Where none of the chunks has patches they are rare, and mostly whole samples.
_RARE = Coded(coding=Coding(ZSTD, 3, samples_last=False))


def choose_codings(
    plan: StorePlan, shards: GuaranteedShards, blocks: Callable[[int, int], Blocks]
) -> StorePlan:
    """The plan with the codings that are smallest, and with the network only if it pays for itself.

    `blocks` yields the samples [start, stop).
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
    coded = {name: choose_coding(rows, portable=plan.portable) for name, rows in chunks.items()}
    plan = dataclasses.replace(plan, coded={PATCHED: _RARE, PATCHES: _RARE} | coded)
    plan = with_latent_coding(plan, latents)
    saved_bytes = sum(_saved_bytes(plan, found) for found in tried) * samples / measured
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
    affordable = int(plan.grid.samples * _LATENT_SHARE / plan.grid.chunk_samples)
    count = min(max(_CHUNKS, affordable), _LATENT_CHUNKS)
    chunks = [
        np.concatenate([codec.encode(block, plan.step) for _, block in blocks(start, stop)])
        for start, stop in _spread_chunks(plan.grid, count)
    ]
    return with_latent_coding(plan, chunks)


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


def _saved_bytes(plan: StorePlan, tried: Iterable[Way]) -> int:
    """How much smaller than all others the ways with the network keep a chunk."""
    sizes: dict[bool, list[int]] = {True: [], False: []}
    for way in tried:
        size = sum(len(encode_chunk(rows, plan.array(n).coded)) for n, rows in way.rows.items())
        sizes[way.mode.needs_network].append(size)
    if not sizes[True] or not sizes[False]:
        return 0
    return max(0, min(sizes[False]) - min(sizes[True]))
