"""The objects of a store in a local folder: every put is atomic and durable."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sys
import uuid
from collections.abc import Container, Iterator
from pathlib import Path

from engine.errors import CorruptStore, EngineError, InvalidInput, StorageError
from engine.store.durable_folder import make_folder, sync_folder
from engine.store.object_file import ObjectFile

_PARTIAL = ".partial"
_OPEN_FILES = 16  # of a process that may have many stores open, and 1024 files in all
_NAME = re.compile(r"[\w.-]{1,200}(/[\w.-]{1,200}){0,15}")
_NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO)


class LocalObjects:
    """Named byte strings below a folder, `/` between the parts of a name."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Name a folder; nothing is read or made yet."""
        self.folder = Path(folder)
        self._no_links: set[Path] = set()
        self._opened: dict[str, ObjectFile] = {}
        self._durable: set[Path] = set()
        self._closed = False

    def __str__(self) -> str:
        return str(self.folder)

    def get(self, key: str, limit_bytes: int = sys.maxsize) -> bytes:
        """The whole object, or one byte more than `limit_bytes` of a larger one.

        Raises:
            CorruptStore: it isn't there, or isn't a file within the folder.
        """
        try:
            return self._open(key).read_first(limit_bytes + 1)
        except OSError as error:
            raise self._failure(key, error) from None

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """`length` bytes from `start`; a negative `start` counts from the end.

        The file stays open, while not too many others are read after it; see `forget`.

        Raises:
            CorruptStore: the object isn't there, or is shorter.
        """
        try:
            file = self._opened.get(key) or self._keep_open(key)
            first = start + file.size_bytes if start < 0 else start
            inside = 0 <= first <= file.size_bytes - length
            content = file.read(first, length) if inside else b""
        except OSError as error:
            raise self._failure(key, error) from None
        if len(content) != length:
            raise CorruptStore(
                f"{self.folder}: {key} is truncated (expected {length} bytes at {start}, "
                f"the object has {file.size_bytes})"
            )
        return content

    def forget(self, key: str) -> None:
        """Close the file of an object, if it is open: it may have been replaced."""
        self._opened.pop(key, None)

    def close(self) -> None:
        """Close all files, for good: what is read after it is an error."""
        self._closed = True
        self._opened.clear()

    def check_open(self) -> None:
        """Refuse to go on after `close`.

        Raises:
            InvalidInput: it was called.
        """
        if self._closed:
            raise InvalidInput(f"{self.folder}: the store was closed; open it again")

    def put(self, key: str, content: bytes) -> None:
        """Write an object: it is there whole and on the disk when this returns, or not at all.

        Raises:
            CorruptStore: a folder of the store is a link that leads out of it.
            StorageError: the file system refused (read-only, full, no permission).
        """
        path = self._path(key)
        partial = path.parent / f"{path.name}.{uuid.uuid4().hex[:8]}{_PARTIAL}"
        if path.parent not in self._durable:
            self._check_inside(path.parent)
        try:
            self._make_folders(path.parent)
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            sync_folder(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise StorageError(f"{self.folder}: can't write {key}: {_reason(error)}") from None

    def size_of(self, key: str) -> int | None:
        """Bytes of an object, or None where there is none."""
        try:
            return self._path(key).stat().st_size
        except OSError as error:
            if error.errno in _NO_SUCH_FILE:
                return None
            raise StorageError(f"{self.folder}: can't look at {key}: {_reason(error)}") from None

    def keys(self) -> Iterator[str]:
        """Names of all objects, sorted, those of an interrupted put excepted.

        Raises:
            StorageError: the file system refused; a folder that can't be listed is not empty.
        """
        for path in self._files():
            if not path.name.endswith(_PARTIAL):
                yield path.relative_to(self.folder).as_posix()

    def names(self, prefix: str) -> list[str]:
        """What lies right below a prefix, by its last name; nothing where that isn't there.

        Raises:
            CorruptStore: a folder of the store is a link that leads out of it.
            StorageError: the file system refused.
        """
        path = self._path(prefix)
        self._check_inside(path)
        try:
            return sorted(found.name for found in path.iterdir())
        except OSError as error:
            if error.errno in _NO_SUCH_FILE:
                return []
            raise StorageError(f"{self.folder}: can't list {prefix}: {_reason(error)}") from None

    def size_bytes(self) -> int:
        """Bytes of all objects together."""
        return sum(self.size_of(key) or 0 for key in self.keys())

    def sweep(self) -> None:
        """Remove what interrupted puts left."""
        for path in self._files():
            if path.name.endswith(_PARTIAL):
                self._remove(path)

    def make_folder(self) -> None:
        """Make the folder of the store.

        Raises:
            InvalidInput: a file is in its place.
            StorageError: the file system refused.
        """
        try:
            self._make_folders(self.folder)
        except FileExistsError as error:
            raise InvalidInput(f"{error.filename}: is a file; choose another path") from None
        except OSError as error:
            raise StorageError(f"{self.folder}: can't make the folder: {_reason(error)}") from None

    def remove(self, prefix: str) -> None:
        """Remove an object, or everything below a prefix; it need not be there.

        Raises:
            CorruptStore: a folder above it is a link that leads out of the store.
            StorageError: the file system refused.
        """
        path = self._path(prefix)
        self._check_inside(path.parent)
        self._remove(path)

    def remove_files(self, keys: Container[str]) -> None:
        """Remove the files that `keys` yields under these names, fit for objects or not."""
        for path in self._files():
            if path.relative_to(self.folder).as_posix() in keys:
                self._remove(path)

    def clear(self, keep: str) -> None:
        """Remove all that the folder holds, the object `keep` excepted."""
        try:
            paths = list(self.folder.iterdir())
        except OSError as error:
            raise StorageError(f"{self.folder}: can't list it: {_reason(error)}") from None
        for path in paths:
            if path.name != keep:
                self._remove(path)

    def _files(self) -> list[Path]:
        """Every file below the folder, sorted; none where there is no folder."""
        try:
            found = [
                Path(parent, name)
                for parent, _, names in os.walk(self.folder, onerror=_unless_missing)
                for name in names
            ]
            return sorted(path for path in found if path.is_file())
        except OSError as error:
            raise StorageError(f"{self.folder}: can't list it: {_reason(error)}") from None

    def _remove(self, path: Path) -> None:
        try:
            if path.is_dir() and not path.is_symlink():
                self._durable.clear()
                shutil.rmtree(path)
            elif path.exists() or path.is_symlink():
                path.unlink()
        except OSError as error:
            raise StorageError(f"{path}: can't remove it: {_reason(error)}") from None

    def _keep_open(self, key: str) -> ObjectFile:
        """Open the file of an object, and keep it among those that were opened last."""
        file = self._opened[key] = self._open(key)
        if len(self._opened) > _OPEN_FILES:
            with contextlib.suppress(StopIteration, RuntimeError):  # other threads do so, too
                self._opened.pop(next(iter(self._opened)), None)
        return file

    def _open(self, key: str) -> ObjectFile:
        """The file of an object; whoever made the folder can't point us elsewhere with it."""
        self.check_open()
        path = self._path(key)
        if path not in self._no_links:  # following links costs as much as reading a row
            self._check_inside(path)
        return ObjectFile(path)

    def _failure(self, key: str, error: OSError) -> EngineError:
        """What to raise where the file system refuses to read."""
        if isinstance(error, IsADirectoryError):
            return CorruptStore(f"{self.folder}: {key} is not a regular file")
        if error.errno in _NO_SUCH_FILE:
            return CorruptStore(f"{self.folder}: {key} is missing")
        return StorageError(f"{self.folder}: can't read {key}: {_reason(error)}")

    def _check_inside(self, path: Path) -> None:
        """Refuse a path that leads out of the folder once links are followed."""
        root, found = os.path.realpath(self.folder), os.path.realpath(path)
        key = path.relative_to(self.folder)
        if os.path.commonpath((root, found)) != root:
            raise CorruptStore(f"{self.folder}: {key} is a link that leads out of the store")
        if found == str(Path(root, key)):
            self._no_links.add(path)

    def _make_folders(self, folder: Path) -> None:
        """Make a folder of the store, and have it on the disk before anything is put there.

        That it is there doesn't say so: another thread or a killed job may just have made it.
        """
        if folder in self._durable:
            return
        if folder == self.folder:
            make_folder(folder.absolute().parent)
            folder.mkdir(exist_ok=True)
            with contextlib.suppress(PermissionError):  # what lies above may be another user's
                sync_folder(folder.absolute().parent)
        else:
            self._make_folders(folder.parent)
            folder.mkdir(exist_ok=True)
            sync_folder(folder.parent)
        self._durable.add(folder)

    def _path(self, key: str) -> Path:
        if not is_name(key):
            raise CorruptStore(f"{self.folder}: {key!r:.99} can't be the name of an object")
        return self.folder / key


def is_name(key: str) -> bool:
    """Whether an object may have this name: short words between `/` that never lead upwards."""
    return bool(_NAME.fullmatch(key)) and not {".", ".."} & set(key.split("/"))


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _reason(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "the disk is full" if full else str(error.strerror)
