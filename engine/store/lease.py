"""One job holds a lease on a store; it ends with the process, however that ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from engine.errors import IncompatibleStore, StorageError


@contextlib.contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Hold the store in `folder` for this job, by a lock on the folder itself.

    On Windows, and where the file system can't lock a folder (NFS), nothing is held.

    Raises:
        IncompatibleStore: another job is writing there.
        StorageError: the folder can't be opened.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no lock that leaves nothing behind
        yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StorageError(f"{folder}: can't open the folder: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise IncompatibleStore(
                f"{folder}: another job is writing this store; wait for it to end"
            ) from None
        except OSError:  # NFS locks only what is open for writing, which a folder can't be
            pass
        yield
    finally:
        os.close(descriptor)
