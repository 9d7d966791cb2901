"""Outputs that appear whole or not at all: made beside their path, then renamed into place."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from engine.errors import StorageError

_REMOVALS, _SETTLING_S = 10, 0.05


@contextlib.contextmanager
def staged(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to make a file or folder at, which becomes `path` when the block ends well.

    Replaces what is at `path`, a folder too; missing parent folders are made.

    Raises:
        StorageError: the file system refused; what was at `path` is still there.
    """
    target = Path(path)
    parent = target.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=parent))
        made, replaced = folder / "made", folder / "replaced"
        try:
            yield made
            if target.is_dir():  # a rename can't replace a folder that holds something
                target.replace(replaced)
            made.replace(target)
        finally:
            if replaced.exists() and not target.exists():
                replaced.replace(target)
            # Threads of zarr may write into what is left there for a while after an error.
            _remove(folder, tries=_REMOVALS if made.is_dir() else 1)
    except OSError as error:
        raise StorageError(f"{target}: can't write it: {error.strerror or error}") from None


def _remove(folder: Path, tries: int) -> None:
    """Remove a folder, and what others make there again until the last try."""
    shutil.rmtree(folder, ignore_errors=True)
    for _ in range(tries - 1):
        time.sleep(_SETTLING_S)
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
