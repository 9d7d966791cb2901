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
        content = os.pread(self._descriptor, length, start)
        while len(content) < length:  # the system gives 2 GiB at most
            more = os.pread(self._descriptor, length - len(content), start + len(content))
            if not more:
                break
            content += more
        return content

    def read_first(self, limit_bytes: int) -> bytes:
        """The whole file, or its first `limit_bytes`."""
        return self.read(0, min(self.size_bytes, limit_bytes))

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        descriptor = getattr(self, "_descriptor", None)
        if descriptor is not None:
            close(descriptor)
