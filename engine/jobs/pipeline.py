"""Runs the shards of a job over threads: reading and networks on some, the rest on others.

So a core that waits for the disk, or that compresses, keeps no network waiting.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from engine.jobs.shard_task import ShardTask


def run_shards(task: ShardTask, shards: Sequence[int], workers: int) -> None:
    """Do these shards; the first error in the order of the data wins.

    `workers` shards are in the networks at once, and as many wait for the disk or are compressed:
    twice as many are in memory at most.
    """
    room = threading.BoundedSemaphore(2 * workers)
    with (
        ThreadPoolExecutor(workers, thread_name_prefix="write") as writing,
        ThreadPoolExecutor(workers, thread_name_prefix="encode") as encoding,
    ):

        def write(commit: Callable[[], None]) -> None:
            try:
                commit()
            finally:
                room.release()

        def encode(shard: int) -> Future[None]:
            room.acquire()
            with contextlib.ExitStack() as failed:
                failed.callback(room.release)
                written = writing.submit(write, task(shard))
                failed.pop_all()
            return written

        try:
            for future in [encoding.submit(encode, shard) for shard in shards]:
                future.result().result()
        except BaseException:
            task.cancelled.set()
            encoding.shutdown(cancel_futures=True)
            raise
