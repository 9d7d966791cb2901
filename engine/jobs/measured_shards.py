"""Shards without a guarantee: latents, and how far their decoding lies from the samples."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from engine.jobs.shard_facts import SourceFacts, error_fields, quality_codes
from engine.jobs.shard_task import Blocks, MadeShard, Making
from engine.runtime.measured_batch import MeasuredBatch
from engine.runtime.measured_encoding import MeasuredEncoder
from engine.store.ledger import Mode
from engine.store.plan import LATENTS, QUALITY, StorePlan


@dataclass(frozen=True)
class MeasuredShards:
    """Makes shards of latents, measured if the plan has quality.

    Nothing is copied, and what can wait for the whole shard does: there it is a tenth of the work.
    """

    plan: StorePlan
    encoder: MeasuredEncoder

    def __call__(self, samples: Blocks, count: int) -> Making:
        """Encode the samples of a shard, and measure what decoding them will return."""
        latent = self.plan.codec.manifest.latent
        whole = MeasuredBatch.empty(count, latent, measured=self.plan.has_quality)
        source = SourceFacts()
        for first, block in samples:
            source.add(block)
            self.encoder(block, whole[first : first + len(block)])
        return functools.partial(self._made, whole, source)

    def _made(self, shard: MeasuredBatch, source: SourceFacts) -> MadeShard:
        elements = math.prod(self.plan.codec.manifest.sample.shape)
        limit = self.plan.codec.manifest.latent.limit
        made = {LATENTS: self.plan.array(LATENTS).encode_shard(shard.latents)}
        if shard.errors is not None:
            quality = quality_codes(*shard.errors, elements, self.plan.quality_unit)
            made[QUALITY] = self.plan.array(QUALITY).encode_shard(quality)
        saturated = np.count_nonzero((shard.latents == limit) | (shard.latents == -limit))
        return made, {
            "mode": Mode.LATENTS,
            "saturated": saturated,
            **source.fields(),
            **error_fields(shard.errors, elements),
        }
