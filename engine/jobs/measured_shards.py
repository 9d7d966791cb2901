"""Shards without a guarantee: latents, and how far their decoding lies from the samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine.jobs.shard_facts import SourceFacts, error_fields, quality_codes
from engine.jobs.shard_task import Batches, MadeShard
from engine.runtime.measured_encoding import MeasuredEncoder
from engine.store.ledger import Mode
from engine.store.plan import LATENTS, QUALITY, StorePlan


@dataclass(frozen=True)
class MeasuredShards:
    """Makes shards of latents only.

    Per batch it only copies: what can wait for the whole shard is a tenth of the work there.
    """

    plan: StorePlan
    encoder: MeasuredEncoder

    def __call__(self, samples: Batches, count: int) -> MadeShard:
        """Encode the samples of a shard and measure what decoding them will return."""
        latent = self.plan.codec.manifest.latent
        elements = math.prod(self.plan.codec.manifest.sample.shape)
        latents = np.empty((count, *latent.shape), latent.dtype)
        max_abs_error, sum_squared_error = np.empty((2, count))
        source = SourceFacts()
        for first, batch in samples:
            rows = slice(first, first + len(batch))
            measured = self.encoder(batch)
            latents[rows] = measured.latents
            max_abs_error[rows] = measured.max_abs_error
            sum_squared_error[rows] = measured.sum_squared_error
            source.add(batch)
        errors = (max_abs_error, sum_squared_error)
        quality = quality_codes(*errors, elements, self.plan.quality_unit)
        made = {
            LATENTS: self.plan.array(LATENTS).encode_shard(latents),
            QUALITY: self.plan.array(QUALITY).encode_shard(quality),
        }
        return made, {
            "mode": Mode.LATENTS,
            "saturated": np.count_nonzero(np.abs(latents) == latent.limit),
            **source.fields(),
            **error_fields(*errors, elements),
        }
