"""A lock on a folder itself: it leaves nothing behind, and ends with the process in any case."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[bool | None]:
    """Whether the folder is locked now, until the block ends; None where that can't be told.

    That is on Windows, and where the file system can't lock a folder (NFS): nothing is held.

    Raises:
        OSError: the folder can't be opened.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no lock that leaves nothing behind
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        locked: bool | None = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            locked = False
        except OSError:  # NFS locks only what is open for writing, which a folder can't be
            locked = None
        yield locked
    finally:
        os.close(descriptor)
