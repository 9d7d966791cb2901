"""Folders that are on the disk, with what was put into them, before anything relies on it."""

from __future__ import annotations

import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make a folder and what is missing above it, on the disk before anything is put there.

    Raises:
        OSError: the file system refused.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """See to it that the names in a folder are on the disk.

    Raises:
        OSError: the file system refused.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
