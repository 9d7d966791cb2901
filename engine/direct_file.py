"""A new file that is written past the system's cache, by a thread of its own.

Filling that cache takes longer than decoding: its pages must be found, copied to and synced. On
two cores that decode a dense codec, files are written three to ten times as fast without it.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROOM_BYTES = 4 * 1024 * 1024  # a multiple of what any disk takes as a block
_DIRECT: int = getattr(os, "O_DIRECT", 0)  # unknown to macOS: files go through the cache there


class DirectFile:
    """Collects what is written in two rooms in turn: one fills while the disk takes the other.

    A context manager: what was written lies on the disk once the block ends well.
    """

    def __init__(self, path: Path) -> None:
        """Make the file.

        Raises:
            OSError: the file system refused; also from every other method.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self._descriptor = os.open(path, flags | _DIRECT, 0o666)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._descriptor = os.open(path, flags, 0o666)  # some make the file, then refuse
        # Pages of their own begin where a disk wants memory to begin.
        self._room, self._next_room = (
            np.frombuffer(mmap.mmap(-1, _ROOM_BYTES), np.uint8) for _ in range(2)
        )
        self._filled, self._position = 0, 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._last = Future[None]()
        self._last.set_result(None)

    def write(self, values: NDArray[Any]) -> None:
        """Append the bytes of a C-contiguous array, which may change afterwards."""
        left = values.reshape(-1).view(np.uint8)
        while len(left):
            fits = min(len(left), _ROOM_BYTES - self._filled)
            self._room[self._filled : self._filled + fits] = left[:fits]
            self._filled, left = self._filled + fits, left[fits:]
            if self._filled == _ROOM_BYTES:
                self._hand_over(self._write_all)

    def __enter__(self) -> DirectFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with self._pool:
                if error is None:
                    self._hand_over(self._write_rest)
                    self._last.result()
        finally:
            os.close(self._descriptor)

    def _hand_over(self, write: Callable[[NDArray[np.uint8], int], None]) -> None:
        """Have the thread write what is in the room, once the other one is free."""
        self._last.result()
        self._last = self._pool.submit(write, self._room[: self._filled], self._position)
        self._position += self._filled
        self._room, self._next_room, self._filled = self._next_room, self._room, 0

    def _write_rest(self, content: NDArray[np.uint8], position: int) -> None:
        """Write what isn't whole blocks, and see to it that all lies on the disk."""
        self._use_cache()
        self._write_all(content, position)
        os.fsync(self._descriptor)

    def _write_all(self, content: NDArray[np.uint8], position: int) -> None:
        left = content.data
        while left:
            try:
                written = os.pwrite(self._descriptor, left, position)
            except OSError as error:
                if error.errno != errno.EINVAL or not self._use_cache():
                    raise
                continue  # the file system takes no such writes, or not from within a block
            left, position = left[written:], position + written

    def _use_cache(self) -> bool:
        """From now on write through the system's cache; whether that is a change."""
        if not _DIRECT:
            return False
        import fcntl  # not on Windows

        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags & ~_DIRECT)
        return bool(flags & _DIRECT)
