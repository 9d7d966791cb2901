"""A file of the store, held open between reads: opening it takes longer than reading a chunk."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path


class ObjectFile:
    """A regular file, open for reading until nobody holds it any more.

    Threads and forked processes may share it: reads have no position. A file that is replaced by
    another one stays what it was to those who hold it.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            IsADirectoryError: it is no regular file.
            OSError: the file system refused.
        """
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise IsADirectoryError(f"{path} is not a regular file")
        self.size_bytes = status.st_size

    def read(self, start: int, length: int) -> bytes:
        """`length` bytes from `start`, or as many as there are."""
        return os.pread(self._descriptor, length, start)

    def read_first(self, limit_bytes: int) -> bytes:
        """The whole file, or its first `limit_bytes`."""
        parts: list[bytes] = []
        position, stop = 0, min(self.size_bytes, limit_bytes)
        while position < stop:  # one read gives 2 GiB at most
            parts.append(self.read(position, stop - position))
            if not parts[-1]:
                break
            position += len(parts[-1])
        return b"".join(parts)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        descriptor = getattr(self, "_descriptor", None)
        if descriptor is not None:
            close(descriptor)
