"""The unit of bulk work: read, compress and commit the samples of one shard."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

from engine.errors import EngineError
from engine.jobs.sidecars import LostSidecar, Sidecar
from engine.store.plan import SIDECARS, StorePlan
from engine.store.shard import ShardObject
from engine.store.writer import StoreWriter

Blocks = Iterator[tuple[int, NDArray[Any]]]
MadeShard = tuple[dict[str, ShardObject], dict[str, Any]]
Making = Callable[[], MadeShard]


class Cancelled(EngineError):
    """The job was asked to stop; what is committed stays."""


class ShardCompressor(Protocol):
    """Runs the networks on the samples of a shard; what it returns does the rest, on any thread.

    That makes the objects of the shard, by array, and the ledger's facts of its samples.
    """

    def __call__(self, samples: Blocks, count: int) -> Making:
        """Take `count` samples that come in blocks, each with its first row in the shard."""


@dataclass(frozen=True)
class ShardTask:
    """Everything that the shards of a job share; calling it with a shard does half of that shard.

    `blocks` yields the samples [start, stop). Thread-safe: no two calls touch the same shard.
    """

    plan: StorePlan
    blocks: Callable[[int, int], Blocks]
    sidecars: Mapping[str, Sidecar | LostSidecar]
    compressor: ShardCompressor
    writer: StoreWriter
    progress: Callable[[int], None]
    cancelled: threading.Event = field(default_factory=threading.Event)

    def __call__(self, shard: int) -> Callable[[], None]:
        """Read a shard and run the networks on it; what is returned compresses and commits it.

        Raises:
            InvalidInput: a sample that can't be encoded, named by its index.
            StorageError: the file system refused.
            Cancelled: the job was asked to stop.
        """
        start, stop = self.plan.grid.shard_rows(shard)
        making = self.compressor(self._blocks(start, stop), stop - start)
        return functools.partial(self._commit, shard, making)

    def _commit(self, shard: int, making: Making) -> None:
        start, stop = self.plan.grid.shard_rows(shard)
        made, facts = making()
        made |= encode_sidecars(self.plan, self.sidecars, start, stop)
        self.writer.commit(shard, made, facts)

    def _blocks(self, start: int, stop: int) -> Blocks:
        for first, samples in self.blocks(start, stop):
            if self.cancelled.is_set():
                raise Cancelled("stopped")
            yield first, samples
            self.progress(len(samples))


def encode_sidecars(
    plan: StorePlan, sidecars: Mapping[str, Sidecar | LostSidecar], start: int, stop: int
) -> dict[str, ShardObject]:
    """The objects of the sidecars for the samples [start, stop), by array."""
    arrays = {name: plan.array(f"{SIDECARS}/{name}") for name in sidecars}
    return {
        array.name: array.encode_shard(sidecars[name].read(start, stop))
        for name, array in arrays.items()
    }
