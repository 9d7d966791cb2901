"""One job holds a lease on a store; it ends with the process, however that ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from engine.errors import IncompatibleStore


@contextlib.contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Hold the store in `folder` for this process, by a lock on the folder itself.

    Raises:
        IncompatibleStore: another process is writing there.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no lock that leaves nothing behind
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise IncompatibleStore(
                f"{folder}: another job is writing this store; wait for it to end"
            ) from None
        yield
    finally:
        os.close(descriptor)
