"""What the latents of a store cost, beside the entropy that they have."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine.entropy import entropy_bits
from engine.errors import CorruptStore
from engine.sources.source import spread_rows
from engine.store.contents import StoreContents
from engine.store.plan import LATENTS

_SAMPLES = 16_384  # from which the entropy is estimated, in whole chunks


@dataclass(frozen=True)
class LatentCost:
    """How latents are coded, and bytes a sample: those stored, and those of an ideal coder.

    Indexes and checksums of chunks count as stored; the entropy is the sum of the channels', of
    some samples spread over the store, NaN where they can't be read.
    """

    coded: str
    bytes_per_sample: float
    entropy_bytes_per_sample: float


def latent_cost(contents: StoreContents) -> LatentCost | None:
    """Measure the latents of a store on a few chunks; None if no shard has latents."""
    grid = contents.arrays[LATENTS].grid
    committed = np.flatnonzero(contents.committed).tolist()
    shards = [shard for shard in committed if contents.has(LATENTS, shard)]
    samples = sum(grid.shard_size(shard) for shard in shards)
    if not samples:
        return None
    return LatentCost(
        coded=str(contents.arrays[LATENTS].coded),
        bytes_per_sample=contents.stored_bytes(LATENTS) / samples,
        entropy_bytes_per_sample=_entropy_bytes(contents, shards),
    )


def _entropy_bytes(contents: StoreContents, shards: list[int]) -> float:
    grid = contents.arrays[LATENTS].grid
    places = [
        (shard, chunk)
        for shard in shards
        for chunk in range(math.ceil(grid.shard_size(shard) / grid.chunk_samples))
    ]
    count = math.ceil(_SAMPLES / grid.chunk_samples)
    try:
        chunks = [
            contents.read_chunk(LATENTS, *places[place])
            for place in spread_rows(len(places), count).tolist()
        ]
    except CorruptStore:
        return math.nan
    latents = np.concatenate(chunks)
    return float(entropy_bits(latents.reshape(len(latents), -1)).sum() / 8)
