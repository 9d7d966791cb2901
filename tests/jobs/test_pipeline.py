"""Shards go through the networks and to the disk on different threads, a bounded number at once."""

import threading
import time
from dataclasses import dataclass, field

import pytest

from engine.errors import InvalidInput, StorageError
from engine.jobs.pipeline import run_shards


@dataclass
class Recorded:
    """Shards as a job has them; it records which are in memory, and what was committed."""

    fails: dict = field(default_factory=dict)
    wait_s: float = 0.0
    cancelled: threading.Event = field(default_factory=threading.Event)
    held: set = field(default_factory=set)
    most: int = 0
    committed: list = field(default_factory=list)
    threads: dict = field(default_factory=dict)

    def __call__(self, shard):
        if self.cancelled.is_set():
            raise InvalidInput("cancelled")
        self.held.add(shard)
        self.most = max(self.most, len(self.held))
        self.threads.setdefault("encode", set()).add(threading.get_ident())
        self._fail("encode", shard)
        return lambda: self._commit(shard)

    def _commit(self, shard):
        time.sleep(self.wait_s)
        self.threads.setdefault("write", set()).add(threading.get_ident())
        self._fail("write", shard)
        self.committed.append(shard)
        self.held.discard(shard)

    def _fail(self, stage, shard):
        if (stage, shard) in self.fails:
            raise self.fails[stage, shard]


@pytest.mark.parametrize("workers", [1, 3])
def test_every_shard_is_committed_once(workers):
    task = Recorded()
    run_shards(task, range(40), workers)
    assert sorted(task.committed) == list(range(40))
    assert task.threads["encode"].isdisjoint(task.threads["write"])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_slow_disk_does_not_fill_the_memory(workers):
    task = Recorded(wait_s=0.01)
    run_shards(task, range(20), workers)
    assert task.most <= 2 * workers


@pytest.mark.parametrize("stage", ["encode", "write"])
def test_the_first_error_in_the_order_of_the_data_wins(stage):
    fails = {(stage, 3): InvalidInput("third"), (stage, 7): StorageError("seventh")}
    task = Recorded(fails)
    with pytest.raises(InvalidInput, match="third"):
        run_shards(task, range(5000), 2)
    assert task.cancelled.is_set()
    assert {0, 1, 2} <= set(task.committed)
    assert len(task.committed) < 5000


def test_nothing_to_do():
    run_shards(Recorded(), [], 2)
