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
from engine.folder_lock import lock

_MADE, _REPLACED = "made", "replaced"
_REMOVALS, _SETTLING_S = 10, 0.05


@contextlib.contextmanager
def staged(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to make a file or folder at, which becomes `path` when the block ends well.

    Replaces what is at `path`, a folder too; missing parent folders are made. What a process that
    was killed had made of the same `path` is removed.

    Raises:
        StorageError: the file system refused; what was at `path` is still there.
    """
    target = Path(path)
    parent = target.absolute().parent
    prefix = f".{target.name}.partial-"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent, prefix, target)
        with _held(parent, prefix) as folder:
            made, replaced = folder / _MADE, folder / _REPLACED
            try:
                yield made
                if target.is_dir():  # a rename can't replace a folder that holds something
                    target.replace(replaced)
                made.replace(target)
            finally:
                _give_back(replaced, target)
                # Threads of zarr may write into what is left there for a while after an error.
                _remove(folder, tries=_REMOVALS if made.is_dir() else 1)
    except OSError as error:
        raise StorageError(f"{target}: can't write it: {error.strerror or error}") from None


@contextlib.contextmanager
def _held(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder of this process, locked as long as it works there."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with contextlib.ExitStack() as held:
            try:
                locked = held.enter_context(lock(folder))
            except FileNotFoundError:
                locked = False
            if locked is False or not folder.exists():
                continue  # another process swept it before it was locked
            yield folder
            return


def _sweep(parent: Path, prefix: str, target: Path) -> None:
    """Remove the folders of processes that are no more, and give back what they replaced."""
    for folder in parent.iterdir():
        if not folder.name.startswith(prefix):
            continue
        with contextlib.suppress(OSError), lock(folder) as locked:
            if locked:
                _give_back(folder / _REPLACED, target)
                shutil.rmtree(folder, ignore_errors=True)


def _give_back(replaced: Path, target: Path) -> None:
    if replaced.exists() and not target.exists():
        replaced.replace(target)


def _remove(folder: Path, tries: int) -> None:
    """Remove a folder, and what others make there again until the last try."""
    shutil.rmtree(folder, ignore_errors=True)
    for _ in range(tries - 1):
        time.sleep(_SETTLING_S)
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
