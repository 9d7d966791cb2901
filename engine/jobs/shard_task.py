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
        rows = _ShardRows(self.plan, stop - start)
        for first, last in batches(stop - start, self.batch_samples):
            if self.cancelled.is_set():
                raise Cancelled("stopped")
            samples = read_samples(self.source, start + first, start + last)
            rows.add(first, samples, self.encoder(samples))
            self.progress(last - first)
        carried = {f"{SIDECARS}/{n}": s.read(start, stop) for n, s in self.sidecars.items()}
        arrays = {LATENTS: rows.latents, QUALITY: rows.quality(), **carried}
        self.writer.commit(shard, arrays, rows.facts())


class _ShardRows:
    """Gathers the latents and errors of a shard, and what the ledger records of its samples.

    Per batch it only copies: what can wait for the whole shard is a tenth of the work there.
    """

    def __init__(self, plan: StorePlan, count: int) -> None:
        latent = plan.codec.manifest.latent
        self._limit, self._unit = latent.limit, plan.quality_unit
        self._elements = math.prod(plan.codec.manifest.sample.shape)
        self.latents = np.empty((count, *latent.shape), latent.dtype)
        self._max_abs_error, self._sum_squared_error = np.empty((2, count))
        self._digest = xxhash.xxh3_128()
        self._range = (math.inf, -math.inf)

    def add(self, first: int, samples: NDArray[Any], measured: MeasuredBatch) -> None:
        rows = slice(first, first + len(samples))
        self.latents[rows] = measured.latents
        self._max_abs_error[rows] = measured.max_abs_error
        self._sum_squared_error[rows] = measured.sum_squared_error
        self._digest.update(samples.data)
        low, high = self._range
        self._range = min(low, float(samples.min())), max(high, float(samples.max()))

    def quality(self) -> NDArray[np.uint8]:
        """Codes `(n, 2)` of the errors."""
        levels = error_levels(self._unit)
        root_mean_square = np.sqrt(self._sum_squared_error / self._elements)
        errors = (self._max_abs_error, root_mean_square)
        return np.stack([encode_errors(values, levels) for values in errors], axis=1)

    def facts(self) -> dict[str, Any]:
        """Fields of the ledger record."""
        return {
            "source_xxh3_128": np.frombuffer(self._digest.digest(), np.uint8),
            "max_abs_error": self._max_abs_error.max(),
            "worst_mse": self._sum_squared_error.max() / self._elements,
            "sum_squared_error": self._sum_squared_error.sum(),
            "data_min": self._range[0],
            "data_max": self._range[1],
            "saturated": np.count_nonzero(np.abs(self.latents) == self._limit),
        }
