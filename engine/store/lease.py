"""One job holds a lease on a store; it ends with the process, however that ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from engine.errors import IncompatibleStore, StorageError
from engine.folder_lock import lock


@contextlib.contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Hold the store in `folder` for this job, where folders can be locked: see `lock`.

    Raises:
        IncompatibleStore: another job is writing there.
        StorageError: the folder can't be opened.
    """
    with contextlib.ExitStack() as held:
        try:
            locked = held.enter_context(lock(folder))
        except OSError as error:
            raise StorageError(f"{folder}: can't open the folder: {error.strerror}") from None
        if locked is False:
            raise IncompatibleStore(
                f"{folder}: another job is writing this store; wait for it to end"
            )
        yield
