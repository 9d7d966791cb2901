"""The unit of bulk work: read, encode, measure and commit the samples of one shard."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from engine.errors import EngineError
from engine.jobs.fit import read_samples
from engine.jobs.sidecars import Sidecar
from engine.quality import encode_errors, error_levels
from engine.runtime.codec import batches
from engine.runtime.measured_batch import MeasuredBatch
from engine.runtime.measured_encoding import MeasuredEncoder
from engine.sources import Source
from engine.store.plan import LATENTS, QUALITY, SIDECARS, StorePlan
from engine.store.writer import StoreWriter


class Cancelled(EngineError):
    """The job was asked to stop; what is committed stays."""


@dataclass(frozen=True)
class ShardTask:
    """Everything that the shards of a job share; calling it with a shard does that shard.

    Thread-safe: no two calls touch the same shard.
    """

    plan: StorePlan
    source: Source
    sidecars: Mapping[str, Sidecar]
    encoder: MeasuredEncoder
    writer: StoreWriter
    batch_samples: int
    progress: Callable[[int], None]
    cancelled: threading.Event = field(default_factory=threading.Event)

    def __call__(self, shard: int) -> None:
        """Compress one shard.

        Raises:
            InvalidInput: a sample that can't be encoded, named by its index.
            StorageError: the file system refused.
            Cancelled: the job was asked to stop.
        """
        start, stop = self.plan.grid.shard_rows(shard)
        facts = _ShardFacts(math.prod(self.source.sample_shape))
        latents, quality = self._new_rows(stop - start)
        levels = error_levels(self.plan.quality_unit)
        for first, last in batches(stop - start, self.batch_samples):
            if self.cancelled.is_set():
                raise Cancelled("stopped")
            samples = read_samples(self.source, start + first, start + last)
            measured = self.encoder(samples)
            latents[first:last] = measured.latents
            mse = measured.sum_squared_error / facts.elements
            quality[first:last, 0] = encode_errors(measured.max_abs_error, levels)
            quality[first:last, 1] = encode_errors(np.sqrt(mse), levels)
            facts.add(samples, measured, mse)
            self.progress(last - first)
        carried = {f"{SIDECARS}/{n}": s.read(start, stop) for n, s in self.sidecars.items()}
        limit = self.plan.codec.manifest.latent.limit
        self.writer.commit(
            shard, {LATENTS: latents, QUALITY: quality, **carried}, facts.fields(latents, limit)
        )

    def _new_rows(self, count: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        latent = self.plan.codec.manifest.latent
        return np.empty((count, *latent.shape), latent.dtype), np.empty((count, 2), np.uint8)


class _ShardFacts:
    """Gathers what the ledger records of the samples of a shard."""

    def __init__(self, elements: int) -> None:
        self.elements = elements
        self._digest = xxhash.xxh3_128()
        self._range = (math.inf, -math.inf)
        self._max_abs_error = self._worst_mse = self._sum_squared_error = 0.0

    def add(self, samples: NDArray[Any], measured: MeasuredBatch, mse: NDArray[np.float64]) -> None:
        self._digest.update(samples.data)
        low, high = self._range
        self._range = min(low, float(samples.min())), max(high, float(samples.max()))
        self._max_abs_error = max(self._max_abs_error, float(measured.max_abs_error.max()))
        self._worst_mse = max(self._worst_mse, float(mse.max()))
        self._sum_squared_error += float(measured.sum_squared_error.sum())

    def fields(self, latents: NDArray[Any], limit: int) -> dict[str, Any]:
        """Fields of the ledger record."""
        return {
            "source_xxh3_128": np.frombuffer(self._digest.digest(), np.uint8),
            "max_abs_error": self._max_abs_error,
            "worst_mse": self._worst_mse,
            "sum_squared_error": self._sum_squared_error,
            "data_min": self._range[0],
            "data_max": self._range[1],
            "saturated": np.count_nonzero(np.abs(latents) == limit),
        }
