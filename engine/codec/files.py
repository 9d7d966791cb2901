"""A codec as files: the manifest and the networks, in a folder or inside a store."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from engine.codec.manifest import MAX_MANIFEST_BYTES, FileEntry, Manifest
from engine.errors import CorruptCodec, IncompatibleStore, InvalidInput, StorageError
from engine.limits import DEFAULT_MEMORY_LIMIT
from engine.staging import staged

if TYPE_CHECKING:
    from engine.codec.graph_safety import GraphMemory

MANIFEST = "manifest.json"
ENCODER = "encoder"
DECODER = "decoder"
CERTIFICATE = "certificate"


@dataclass(frozen=True)
class CodecFiles:
    """The manifest of a codec and the contents of its files by name.

    A store may leave out files that decoding doesn't need; `digest` is that of the whole codec.
    `manifest_read` is the text that the manifest was read from, which may say more than it knows.
    `max_memory_bytes` bounds what its graphs may take, loaded and run on one sample.
    """

    manifest: Manifest
    contents: Mapping[str, bytes]
    manifest_read: bytes | None = field(default=None, compare=False)
    max_memory_bytes: int = field(default=DEFAULT_MEMORY_LIMIT, compare=False)

    @property
    def manifest_json(self) -> bytes:
        """The contents of `manifest.json`."""
        return self.manifest_read or self.manifest.to_json()

    @property
    def digest(self) -> str:
        """sha256 of `manifest.json`, which holds the sha256 of every other file."""
        return hashlib.sha256(self.manifest_json).hexdigest()

    def role(self, role: str) -> bytes:
        """Contents of the file that plays `role`; a graph is checked before it is handed out.

        Raises:
            CorruptCodec: there is no such file here, or it is a graph that could do harm.
        """
        if role in (ENCODER, DECODER):
            self.memory(role)
        return self._content(role)

    def memory(self, role: str) -> GraphMemory:
        """A bound on the memory that the encoder or decoder takes, known without running it.

        Raises:
            CorruptCodec: there is no such graph here, or it could do harm.
        """
        if role not in self._memory:
            from engine.codec.graph_safety import check_decoder, check_encoder

            check = check_encoder if role == ENCODER else check_decoder
            content = self._content(role)
            try:
                checked = check(content, self.manifest, self.max_memory_bytes)
            except CorruptCodec as error:
                raise CorruptCodec(f"{self.manifest.file(role).name}: {error}") from None
            self._memory[role] = checked
        return self._memory[role]

    @functools.cached_property
    def _memory(self) -> dict[str, GraphMemory]:
        return {}

    def _content(self, role: str) -> bytes:
        name = self.manifest.file(role).name
        if name not in self.contents:
            raise CorruptCodec(f"this copy of the codec was stored without its {role} ({name})")
        return self.contents[name]

    @classmethod
    def from_contents(
        cls,
        manifest: bytes,
        contents: Mapping[str, bytes],
        max_memory_bytes: int = DEFAULT_MEMORY_LIMIT,
    ) -> CodecFiles:
        """Check every file against the manifest; graphs are looked into when they are used.

        Raises:
            CorruptCodec: a file differs from what the manifest says, or more than
                `max_memory_bytes` would be needed.
        """
        parsed = Manifest.from_json(manifest, max_memory_bytes)
        for entry in parsed.files:
            found = contents.get(entry.name)
            if found is not None and file_entry(entry.name, entry.role, found) != entry:
                raise CorruptCodec(
                    f"{entry.name} is damaged: expected {entry.size_bytes} bytes with sha256 "
                    f"{entry.sha256[:12]}…, found {len(found)} bytes; copy the codec again"
                )
        return cls(parsed, contents, manifest, max_memory_bytes)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], max_memory_bytes: int = DEFAULT_MEMORY_LIMIT
    ) -> CodecFiles:
        """Read a codec folder.

        Raises:
            InvalidInput: there is no such folder.
            CorruptCodec: it isn't a codec, files are missing or damaged, or more than
                `max_memory_bytes` would be needed.
            IncompatibleStore: a later version wrote it.
            StorageError: the file system refused.
        """
        folder = Path(path)
        try:
            if not folder.exists():
                raise InvalidInput(f"{folder}: no such codec; make one with `engine train`")
            if not (folder / MANIFEST).exists():
                raise CorruptCodec(f"not a codec (no {MANIFEST} in it)")
            text = _read_file(folder, MANIFEST, MAX_MANIFEST_BYTES)
            manifest = Manifest.from_json(text, max_memory_bytes)
            contents = {
                entry.name: _read_file(folder, entry.name, entry.size_bytes)
                for entry in manifest.files
            }
            return cls.from_contents(text, contents, max_memory_bytes)
        except (CorruptCodec, IncompatibleStore) as error:
            raise type(error)(f"{folder}: {error}") from None
        except OSError as error:
            raise StorageError(f"{folder}: can't read it: {error.strerror}") from None

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the folder atomically: it appears whole or not at all.

        Raises:
            InvalidInput: the path is taken.
            StorageError: the file system refused.
        """
        check_codec_target(path, overwrite=overwrite)
        with staged(path) as folder:
            folder.mkdir()
            for name, content in {**self.contents, MANIFEST: self.manifest_json}.items():
                with (folder / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())


def check_codec_target(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Refuse a path that can't become a codec, before any work is spent on it.

    Raises:
        InvalidInput: something is there already, and `overwrite` doesn't cover it.
        StorageError: the file system refused to look.
    """
    target = Path(path)
    try:
        if not target.exists():
            return
        if not _is_codec(target):
            raise InvalidInput(f"{target}: exists and is not a codec; choose another path")
    except OSError as error:
        raise StorageError(f"{target}: can't be looked up: {error.strerror}") from None
    if not overwrite:
        raise InvalidInput(f"{target}: a codec is there already; pass --overwrite to replace it")


def file_entry(name: str, role: str, content: bytes) -> FileEntry:
    """Describe a file for the manifest."""
    return FileEntry(name, role, len(content), hashlib.sha256(content).hexdigest())


def _is_codec(folder: Path) -> bool:
    """Whether a manifest of ours lies in `folder`; other projects have a manifest.json, too."""
    try:
        Manifest.from_json(_read_file(folder, MANIFEST, MAX_MANIFEST_BYTES))
    except IncompatibleStore:
        return True
    except CorruptCodec:
        return False
    return True


def _read_file(folder: Path, name: str, largest_bytes: int) -> bytes:
    """Read a regular file that lies in the folder, also by way of a link, and is no larger.

    Raises:
        CorruptCodec: it isn't there, is no regular file, lies outside, or is larger.
        OSError: the file system refused.
    """
    inside, found = (os.path.realpath(path) for path in (folder, folder / name))
    if os.path.commonpath((inside, found)) != inside:
        raise CorruptCodec(f"{name} is a link to a file outside of the codec; it was not read")
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(found, flags)  # a pipe without a writer doesn't block
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        raise CorruptCodec(f"{name} is missing; copy the codec again") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CorruptCodec(f"{name} is not a file; copy the codec again")
        if status.st_size > largest_bytes:
            raise CorruptCodec(
                f"{name} is damaged: expected at most {largest_bytes} bytes, "
                f"found {status.st_size} bytes; copy the codec again"
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(descriptor)
