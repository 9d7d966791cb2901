"""A compression job: everything it was asked for, from the plan of its store to the last shard."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from engine.codec.certificate import Certificate
from engine.errors import (
    CorruptStore,
    EngineError,
    IncompatibleStore,
    IncompleteStore,
    InvalidInput,
)
from engine.geometry import RowGrid, plan_grid
from engine.guarantee import Guarantee
from engine.jobs.certificate import certificate_at
from engine.jobs.codings import choose_codings, choose_latents_alone
from engine.jobs.fit import read_samples
from engine.jobs.guaranteed_shards import GuaranteedShards
from engine.jobs.measured_shards import MeasuredShards
from engine.jobs.pipeline import run_shards
from engine.jobs.rules import Rules, make_rules
from engine.jobs.running import Running
from engine.jobs.shard_task import Blocks, ShardCompressor, ShardTask
from engine.jobs.sidecars import LostSidecar, Sidecar
from engine.jobs.survey import Survey
from engine.runtime.codec import Codec, batches
from engine.runtime.drift import certify
from engine.runtime.measured_encoding import open_measured_encoder
from engine.sources import Source
from engine.store.contents import StoreContents
from engine.store.lease import lease
from engine.store.objects import LocalObjects
from engine.store.plan import StorePlan
from engine.store.root import is_store
from engine.store.writer import StoreWriter, any_commit, discard

# What is read at once; a job that is stopped goes on to the end of it.
_BLOCK_BYTES, _BLOCK_BATCHES = 4 * 1024 * 1024, 16


@dataclass(frozen=True)
class CompressionJob:
    """What to write, where, and with what; `run` does it.

    `identity` is that of data and sidecars in the fingerprint; `sizes` are the samples per chunk
    and per shard that were asked for, or None; `progress` is called with samples done and samples
    in all. A store that was left without networks is not to use them again, which `may_use_network`
    says.
    """

    store: LocalObjects
    source: Source
    sidecars: Mapping[str, Sidecar | LostSidecar]
    identity: Mapping[str, Any]
    running: Running
    guarantee: Guarantee
    survey: Survey
    step: float
    keep_latents: bool
    keep_encoder: bool
    has_quality: bool
    portable: bool
    sizes: tuple[int | None, int | None]
    may_use_network: bool = True
    progress: Callable[[int, int], None] | None = None

    def run(self, *, overwrite: bool) -> int:
        """Write the store, or go on with it; the number of samples that this run added."""
        with self._writer(overwrite=overwrite) as writer:
            if writer.is_sealed:
                return 0
            written = self._write(writer)
            writer.seal()
            return written

    @property
    def codec(self) -> Codec:
        """The codec, as the job runs it."""
        return self.running.codec

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The samples [start, stop).

        Raises:
            InvalidInput: one that can't be stored, named by its index.
        """
        return read_samples(
            self.source, start, stop, allow_nonfinite=self.guarantee.nonfinite == "keep"
        )

    def blocks(self, start: int, stop: int) -> Blocks:
        """The samples [start, stop) block by block, each with its first row, counted from 0.

        A block is several batches: whatever is done to one waits for Python's interpreter lock.
        """
        batch = self.running.batch
        fitting = max(1, _BLOCK_BYTES // (self.source.sample_bytes * batch))
        size = min(fitting, _BLOCK_BATCHES) * batch
        for first, last in batches(stop - start, size):
            yield first, self.read(start + first, start + last)

    @functools.cached_property
    def rules(self) -> Rules:
        """How shards with a guarantee are made."""
        room: float | None = 0.0
        if self.guarantee.needs_certificate:
            room = None if self._certificate is None else self._certificate.room
        return make_rules(self.guarantee, self.source.dtype, self.survey, room)

    def compressor(self, plan: StorePlan) -> ShardCompressor:
        """What makes the shards of a store planned so.

        Raises:
            GuaranteeViolated: this device doesn't decode as the codec's certificate says.
        """
        if self.guarantee.is_plain:
            measured = plan.has_quality
            encoder = open_measured_encoder(
                self.codec, self.step, measured=measured, batch_samples=self.running.batch
            )
            return MeasuredShards(plan, encoder)
        return self._guaranteed(plan)

    def _guaranteed(self, plan: StorePlan) -> GuaranteedShards:
        batch = min(self.running.batch, plan.grid.shard_size(0))  # a device fills whole batches
        if not plan.uses_network:
            rules = self.rules.without_network()
            return GuaranteedShards(plan, self.codec, rules, self.survey, batch)
        certificate = self._certificate
        if certificate is not None:
            certify(self.codec, certificate, str(self.store))
        return GuaranteedShards(plan, self.codec, self.rules, self.survey, batch, certificate)

    @functools.cached_property
    def _certificate(self) -> Certificate | None:
        if not (self.guarantee.needs_certificate and self.may_use_network):
            return None
        return certificate_at(self.codec, self.step)

    def plan(self) -> StorePlan:
        """The store to write, but for what is measured."""
        certificate = self._certificate
        low, high = self.codec.manifest.sample.data_range
        return StorePlan(
            grid=self._grid(),
            codec=self.codec.files,
            encoder=self.running.encoder,
            step=self.step,
            quality_unit=high - low or 1.0,
            sidecars={name: sidecar.format for name, sidecar in self.sidecars.items()},
            keep_encoder=self.keep_encoder,
            has_quality=self.has_quality,
            source=self.identity,
            guarantee=self.guarantee,
            keep_latents=self.keep_latents,
            portable=self.portable,
            quantised_dtype=None if self.guarantee.is_plain else self.rules.quantised_dtype,
            certificate=None
            if certificate is None or certificate.step == 1.0
            else certificate.to_bytes(),
        )

    def coded(self, plan: StorePlan, begun: StoreContents | None) -> StorePlan:
        """The same, and how its arrays are coded; what was measured for a begun store stays."""
        if begun is not None and begun.head.fingerprint == plan.fingerprint:
            with contextlib.suppress(CorruptStore):  # then what is measured again is the same
                return plan.with_coded(begun.arrays)
        if self.guarantee.is_plain:
            with contextlib.suppress(InvalidInput):  # of all such samples the first is to be named
                return choose_latents_alone(plan, self.codec, self.blocks)
            return plan
        return choose_codings(plan, self._guaranteed(plan), self.blocks, self.running.workers)

    def _grid(self) -> RowGrid:
        sample, latent = self.codec.manifest.sample, self.codec.manifest.latent
        return plan_grid(
            len(self.source),
            sample.size_bytes,
            latent.size_bytes,
            *self.sizes,
            guaranteed=not self.guarantee.is_plain,
        )

    def _write(self, writer: StoreWriter) -> int:
        counter = _Counter(len(self.source), self.progress)
        task = ShardTask(
            writer.plan,
            self.blocks,
            self.sidecars,
            self.compressor(writer.plan),
            writer,
            counter,
        )
        return _run(task, counter, self.running.workers)

    @contextlib.contextmanager
    def _writer(self, *, overwrite: bool) -> Iterator[StoreWriter]:
        """The store to write into, leased; bad data leaves nothing, a full disk what is there."""
        plan = self.plan()
        self.store.make_folder()
        with lease(self.store.folder):
            begun = _is_begun(self.store)
            resumed = begun and not overwrite
            writer: StoreWriter | None = None
            try:
                coded = self.coded(plan, _begun_contents(self.store) if resumed else None)
                writer = (StoreWriter.resume if resumed else StoreWriter.create)(self.store, coded)
                yield writer
            except EngineError as error:
                if writer is None:  # what was there before is whole, or as good as new
                    worthless = not begun
                else:
                    worthless = isinstance(error, InvalidInput) or not (
                        begun or writer.is_sealed or any_commit(self.store)
                    )
                if worthless:
                    discard(self.store)
                raise


def _run(task: ShardTask, counter: _Counter, workers: int) -> int:
    """Do every shard that isn't committed; the number of samples that these hold."""
    grid = task.plan.grid
    committed = task.writer.committed()
    pending = [shard for shard in range(grid.shard_count) if shard not in committed]
    counter(sum(grid.shard_size(shard) for shard in committed))
    run_shards(task, pending, workers)
    return sum(grid.shard_size(shard) for shard in pending)


class _Counter:
    """Counts finished samples for whoever watches."""

    def __init__(self, total: int, watcher: Callable[[int, int], None] | None) -> None:
        self._total, self._watcher, self._done = total, watcher, 0
        self._lock = threading.Lock()

    def __call__(self, samples: int) -> None:
        with self._lock:
            self._done += samples
            if self._watcher is not None:
                self._watcher(self._done, self._total)


def _is_begun(objects: LocalObjects) -> bool:
    """Whether a store is there to go on with, or to overwrite."""
    begun = is_store(objects.folder)
    if not begun and next(objects.keys(), None) is not None:
        raise InvalidInput(f"{objects}: exists and is not a latent store; choose another path")
    return begun


def _begun_contents(objects: LocalObjects) -> StoreContents | None:
    """What another run began, if it came as far as that."""
    try:
        return StoreContents(objects.folder, incomplete=True)
    except (CorruptStore, IncompatibleStore, IncompleteStore):
        return None
