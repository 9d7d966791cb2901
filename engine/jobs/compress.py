"""Bulk compression: a dataset and a codec become a latent store."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from numcodecs import zstd

from engine.errors import EngineError, InvalidInput
from engine.geometry import plan_grid
from engine.jobs.fingerprint import identify
from engine.jobs.fit import check_counts, check_fit
from engine.jobs.shard_task import ShardTask
from engine.jobs.sidecars import Sidecar, open_sidecars
from engine.runtime.codec import Codec, check_step
from engine.runtime.device import available_cores
from engine.runtime.measured_encoding import open_measured_encoder
from engine.sources import Source, open_source
from engine.store.contents import StoreContents, is_store
from engine.store.lease import lease
from engine.store.objects import LocalObjects
from engine.store.plan import StorePlan
from engine.store.summary import StoreSummary, summarise
from engine.store.writer import StoreWriter, any_commit, discard

_ADVICE_BYTES = 4 * 1024 * 1024
_CUDA_WORKERS = 2


@dataclass(frozen=True)
class CompressionReport(StoreSummary):
    """A store's summary, and how the job that wrote it went.

    `elapsed_s` is the time from the first read to the sealed store, `samples_written` what this run
    added. `zstd_ratio` is what zstd alone reaches on the raw samples, losslessly, measured on at
    most 4 MiB of them.
    """

    device: str
    elapsed_s: float
    samples_written: int
    zstd_ratio: float

    @property
    def samples_per_s(self) -> float:
        """Samples read, encoded, decoded, measured and written per second of this run."""
        return self.samples_written / self.elapsed_s

    @property
    def advice(self) -> str | None:
        """What to use instead where this store doesn't pay, or None."""
        if self.zstd_ratio < self.ratio:
            return None
        return (
            f"zstd alone stores this data losslessly at ratio {self.zstd_ratio:.1f}, this store "
            f"reached {self.ratio:.1f}: prefer zarr + zstd here, or a store of more samples"
        )


def compress(
    data: Any,
    store: str | os.PathLike[str],
    codec: Codec | str | os.PathLike[str],
    *,
    key: str | None = None,
    step: float = 1.0,
    sidecars: Mapping[str, Any] | Sequence[Any] | None = None,
    chunk_samples: int | None = None,
    shard_samples: int | None = None,
    keep_encoder: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    batch: int | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CompressionReport:
    """Compress a dataset into a latent store; run again after a kill, it goes on.

    Args:
        data: a path or an array-like of shape `(samples, *sample_shape)`.
        store: path of the store to write.
        codec: a `Codec`, or the path of one.
        key: which array of an `.npz` file or Zarr group.
        step: scale of the quantiser; larger is smaller and coarser.
        sidecars: arrays of one item a sample to carry along, by name, or a list of paths.
        chunk_samples: samples that one random read decompresses.
        shard_samples: samples per object, a multiple of `chunk_samples`.
        keep_encoder: whether the store carries the encoder besides the decoder.
        overwrite: replace a store that is there, whatever wrote it.
        device: `auto`, `cpu` or `cuda`.
        batch: samples per run of the networks.
        threads: shards worked on at once.
        progress: called with samples done and samples in all.

    Raises:
        InvalidInput: data or options that can't be used; nothing is left behind.
        IncompatibleStore: another job's store lies at `store`.
        StorageError: the file system refused; what is committed stays, run again to go on.
    """
    check_step(step)
    check_counts(batch=batch, threads=threads)
    running = (codec if isinstance(codec, Codec) else Codec.load(codec, device)).on(device)
    with open_source(data, key=key) as source:
        check_fit(source, running)
        carried = open_sidecars(sidecars, len(source))
        plan = _plan(source, running, carried, step, chunk_samples, shard_samples, keep_encoder)
        encoder = open_measured_encoder(running, step)
        counter = _Counter(len(source), progress)
        began = time.perf_counter()
        written = 0
        with _writer(LocalObjects(store), plan, overwrite=overwrite) as writer:
            if not writer.is_sealed:
                size = batch or running.batch_samples
                task = ShardTask(plan, source, carried, encoder, writer, size, counter)
                written = _run(task, counter, _workers(running, threads))
                writer.seal()
        elapsed_s = time.perf_counter() - began
        zstd_ratio = _zstd_ratio(source)
    return CompressionReport(
        **dataclasses.asdict(summarise(StoreContents(store))),
        device=encoder.description,
        elapsed_s=elapsed_s,
        samples_written=written,
        zstd_ratio=zstd_ratio,
    )


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


def _run(task: ShardTask, counter: _Counter, workers: int) -> int:
    """Do every shard that isn't committed; the first error in the order of the data wins."""
    grid = task.plan.grid
    committed = task.writer.committed()
    pending = [shard for shard in range(grid.shard_count) if shard not in committed]
    counter(sum(grid.shard_size(shard) for shard in committed))
    with ThreadPoolExecutor(workers, thread_name_prefix="shard") as pool:
        futures = [pool.submit(task, shard) for shard in pending]
        try:
            for future in futures:
                future.result()
        except BaseException:
            task.cancelled.set()
            pool.shutdown(cancel_futures=True)
            raise
    return sum(grid.shard_size(shard) for shard in pending)


@contextlib.contextmanager
def _writer(objects: LocalObjects, plan: StorePlan, *, overwrite: bool) -> Iterator[StoreWriter]:
    """The store to write into, leased; bad data leaves nothing, a full disk what is committed."""
    objects.make_folder()
    with lease(objects.folder):
        begun = _is_begun(objects)
        resumed = begun and not overwrite
        try:
            yield (StoreWriter.resume if resumed else StoreWriter.create)(objects, plan)
        except EngineError as error:
            if isinstance(error, InvalidInput) or not (begun or any_commit(objects)):
                discard(objects)
            raise


def _is_begun(objects: LocalObjects) -> bool:
    """Whether a store is there to go on with, or to overwrite."""
    begun = is_store(objects.folder)
    if not begun and next(objects.keys(), None) is not None:
        raise InvalidInput(f"{objects}: exists and is not a latent store; choose another path")
    return begun


def _plan(
    source: Source,
    codec: Codec,
    carried: Mapping[str, Sidecar],
    step: float,
    chunk_samples: int | None,
    shard_samples: int | None,
    keep_encoder: bool,
) -> StorePlan:
    sample, latent = codec.manifest.sample, codec.manifest.latent
    low, high = sample.data_range
    return StorePlan(
        grid=plan_grid(
            len(source), sample.size_bytes, latent.size_bytes, chunk_samples, shard_samples
        ),
        codec=codec.files,
        step=float(step),
        quality_unit=high - low or 1.0,
        sidecars={name: sidecar.format for name, sidecar in carried.items()},
        keep_encoder=keep_encoder,
        source={
            "data": identify(source),
            "sidecars": {name: identify(sidecar.source) for name, sidecar in carried.items()},
        },
    )


def _workers(codec: Codec, threads: int | None) -> int:
    if threads is not None:
        return threads
    return _CUDA_WORKERS if codec.device == "cuda" else available_cores()


def _zstd_ratio(source: Source) -> float:
    row_bytes = source.dtype.itemsize * math.prod(source.sample_shape)
    rows = source.read(0, max(1, min(len(source), _ADVICE_BYTES // row_bytes)))
    return rows.nbytes / len(zstd.compress(rows, 3))
