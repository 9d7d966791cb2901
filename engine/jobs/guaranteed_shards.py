"""Shards with a guarantee: of all ways that hold the promise, the smallest."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from engine.codec.certificate import Certificate
from engine.errors import GuaranteeViolated
from engine.jobs.gaps import fill_gaps
from engine.jobs.hopeless_ways import hopeless_ways
from engine.jobs.rules import Rules
from engine.jobs.shard_facts import SourceFacts, error_fields, quality_codes
from engine.jobs.shard_task import Blocks, MadeShard, Making
from engine.jobs.survey import Survey
from engine.jobs.ways import ShardSamples, Way, ways
from engine.runtime.codec import Codec
from engine.runtime.shard_networks import ShardNetworks, open_shard_networks
from engine.store.plan import LATENTS, QUALITY, StorePlan
from engine.store.shard import ShardObject, split_shard


@dataclass(frozen=True)
class GuaranteedShards:
    """Makes shards that keep a promise; `codec` runs on one thread a call.

    `batch_samples` go through its networks at once; by default as many as suit it.
    `codec` has passed the probes of `certificate`; sessions of its own on a device pass them, too.
    """

    plan: StorePlan
    codec: Codec
    rules: Rules
    survey: Survey
    batch_samples: int | None = None
    certificate: Certificate | None = None

    def __call__(self, samples: Blocks, count: int) -> Making:
        """Run the networks on the samples of a shard."""
        source = SourceFacts()
        return functools.partial(self._kept, self.run(samples, count, source), source)

    def _kept(self, shard: ShardSamples, source: SourceFacts) -> MadeShard:
        """Try the ways on the samples of a shard, encode them, and keep the smallest.

        Raises:
            GuaranteeViolated: what was encoded doesn't decode to what went in.
        """
        latents = self._encoded({LATENTS: shard.latents} if shard.latents is not None else {})
        tried = ways(
            shard,
            self.rules,
            keep_latents=self.plan.keep_latents,
            without=hopeless_ways(shard, self.rules, self.plan),
        )
        made, way = min(
            ((self._made(way, latents), way) for way in tried),
            key=lambda pair: sum(len(found.content) for found in pair[0].values()),
        )
        self._check(made, way)
        elements = math.prod(self.codec.sample_shape)
        errors = (way.max_abs_error, way.sum_squared_error)
        quality = quality_codes(*errors, elements, self.plan.quality_unit)
        made |= self._encoded({QUALITY: quality})
        return made, {
            **source.fields(),
            **error_fields(errors, elements),
            **way.fields(),
            **self._saturated(way),
            **self._checksums(shard.samples),
        }

    def run(self, samples: Blocks, count: int, source: SourceFacts) -> ShardSamples:
        """Gather the samples of a shard, and run the networks as far as a way may need them."""
        reconstructs = self.rules.room is not None
        run = None
        if reconstructs or self.plan.keep_latents:
            run = self._networks.start(count, reconstructs=reconstructs)
        sample = self.codec.manifest.sample
        gathered = np.empty((count, *sample.shape), sample.dtype)
        for first, block in samples:
            rows = slice(first, first + len(block))
            missing = self.survey.verbatim(block)
            source.add(block, missing)
            gathered[rows] = block
            if run is not None:
                run(rows, block, fill_gaps(block, missing, self.survey))
        verbatim = self.survey.verbatim(gathered)
        if run is None:
            return ShardSamples(gathered, verbatim, None, None)
        quantiser = run.quantiser(gathered, verbatim) if reconstructs else None
        uncovered = None if self.certificate is None else ~self.certificate.covers(run.latents)
        return ShardSamples(gathered, verbatim, run.latents, quantiser, uncovered)

    def encode(self, samples: Blocks, count: int) -> NDArray[Any]:
        """Latents of so many samples `(count, *latent_shape)`."""
        run = self._networks.start(count, reconstructs=False)
        for first, block in samples:
            filled = fill_gaps(block, self.survey.verbatim(block), self.survey)
            run(slice(first, first + len(block)), block, filled)
        return run.latents

    @functools.cached_property
    def _networks(self) -> ShardNetworks:
        return open_shard_networks(self.codec, self.plan.step, self.batch_samples, self.certificate)

    def _made(self, way: Way, latents: Mapping[str, ShardObject]) -> dict[str, ShardObject]:
        rest = {name: rows for name, rows in way.rows.items() if name != LATENTS}
        return {**(latents if LATENTS in way.rows else {}), **self._encoded(rest)}

    def _encoded(self, rows: Mapping[str, NDArray[Any]]) -> dict[str, ShardObject]:
        return {name: self.plan.array(name).encode_shard(values) for name, values in rows.items()}

    def _check(self, made: Mapping[str, ShardObject], way: Way) -> None:
        """Read back what is about to be written: the proof is about these very numbers."""
        for name, rows in way.rows.items():
            array = self.plan.array(name)
            start = 0
            chunks = array.grid.chunks_per_shard
            for content in split_shard(made[name].content, chunks, name, array.index):
                found = array.decode_chunk(content, name)
                expected = rows[start : start + len(found)]
                start += len(found)
                if found[: len(expected)].tobytes() != expected.tobytes():
                    raise GuaranteeViolated(
                        f"{name} doesn't come back from {array.coded} as it went in; "
                        f"this is a bug, please report it; --portable keeps to zstd"
                    )

    def _saturated(self, way: Way) -> dict[str, Any]:
        if LATENTS not in way.rows:
            return {}
        limit = self.codec.manifest.latent.limit
        return {"saturated": np.count_nonzero(np.abs(way.rows[LATENTS]) == limit)}

    def _checksums(self, samples: NDArray[Any]) -> dict[str, Any]:
        """Of a lossless store, the crc32c of the samples of each chunk."""
        if self.rules.guarantee.kind != "lossless":
            return {}
        grid = self.plan.grid
        checksums = np.zeros(grid.chunks_per_shard, np.uint32)
        for chunk, start in enumerate(range(0, len(samples), grid.chunk_samples)):
            rows = samples[start : start + grid.chunk_samples]
            checksums[chunk] = google_crc32c.value(rows.tobytes())
        return {"samples_crc32c": checksums}
