"""The objects of a store in a local folder: every put is atomic and durable."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from engine.errors import CorruptStore, StorageError

_PARTIAL = ".partial"


class LocalObjects:
    """Named byte strings below a folder, `/` between the parts of a name."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Name a folder; nothing is read or made yet."""
        self.folder = Path(folder)

    def __str__(self) -> str:
        return str(self.folder)

    def get(self, key: str) -> bytes:
        """The whole object.

        Raises:
            CorruptStore: it isn't there.
        """
        try:
            return (self.folder / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise CorruptStore(f"{self.folder}: {key} is missing") from None
        except OSError as error:
            raise StorageError(f"{self.folder / key}: {error.strerror}") from None

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """`length` bytes from `start`; a negative `start` counts from the end.

        Raises:
            CorruptStore: the object isn't there, or is shorter.
        """
        try:
            with (self.folder / key).open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                content = os.pread(file.fileno(), length, start + size if start < 0 else start)
        except (FileNotFoundError, NotADirectoryError):
            raise CorruptStore(f"{self.folder}: {key} is missing") from None
        except OSError as error:
            raise StorageError(f"{self.folder / key}: {error.strerror}") from None
        if len(content) != length:
            raise CorruptStore(
                f"{self.folder}: {key} is truncated (expected {length} bytes at {start}, "
                f"the object has {size})"
            )
        return content

    def put(self, key: str, content: bytes) -> None:
        """Write an object: it is there whole and on the disk when this returns, or not at all.

        Raises:
            StorageError: the file system refused (read-only, full, no permission).
        """
        path = self.folder / key
        partial = path.parent / f"{path.name}.{uuid.uuid4().hex[:8]}{_PARTIAL}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise StorageError(f"{self.folder}: can't write {key}: {_reason(error)}") from None

    def keys(self) -> Iterator[str]:
        """Names of all objects, sorted, those of an interrupted put excepted."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and not path.name.endswith(_PARTIAL):
                yield path.relative_to(self.folder).as_posix()

    def size_bytes(self) -> int:
        """Bytes of all objects together."""
        return sum((self.folder / key).stat().st_size for key in self.keys())

    def sweep(self) -> None:
        """Remove what interrupted puts left."""
        for path in self.folder.rglob(f"*{_PARTIAL}"):
            path.unlink(missing_ok=True)

    def make_folder(self) -> None:
        """Make the folder of the store."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.folder}: can't make the folder: {_reason(error)}") from None

    def remove(self, prefix: str = "") -> None:
        """Remove everything below `prefix`; without one, all that the folder holds."""
        targets = [self.folder / prefix] if prefix else list(self.folder.iterdir())
        try:
            for target in targets:
                if target.is_dir():
                    shutil.rmtree(target)
                else:
                    target.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self.folder}: can't remove {prefix}: {_reason(error)}") from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "the disk is full" if full else str(error.strerror)
