"""A codec as files: the manifest and the networks, in a folder or inside a store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.codec.manifest import FileEntry, Manifest
from engine.errors import CorruptCodec, IncompatibleStore, InvalidInput, StorageError
from engine.staging import staged

MANIFEST = "manifest.json"
ENCODER = "encoder"
DECODER = "decoder"


@dataclass(frozen=True)
class CodecFiles:
    """The manifest of a codec and the contents of its files by name.

    A store may leave out files that decoding doesn't need; `digest` is that of the whole codec.
    `manifest_read` is the text that the manifest was read from, which may say more than it knows.
    """

    manifest: Manifest
    contents: Mapping[str, bytes]
    manifest_read: bytes | None = field(default=None, compare=False)

    @property
    def manifest_json(self) -> bytes:
        """The contents of `manifest.json`."""
        return self.manifest_read or self.manifest.to_json()

    @property
    def digest(self) -> str:
        """sha256 of `manifest.json`, which holds the sha256 of every other file."""
        return hashlib.sha256(self.manifest_json).hexdigest()

    def role(self, role: str) -> bytes:
        """Contents of the file that plays `role`.

        Raises:
            CorruptCodec: there is no such file here.
        """
        name = self.manifest.file(role).name
        if name not in self.contents:
            raise CorruptCodec(f"this copy of the codec was stored without its {role} ({name})")
        return self.contents[name]

    @classmethod
    def from_contents(cls, manifest: bytes, contents: Mapping[str, bytes]) -> CodecFiles:
        """Check every file against the manifest.

        Raises:
            CorruptCodec: a file differs from what the manifest says.
        """
        parsed = Manifest.from_json(manifest)
        for entry in parsed.files:
            found = contents.get(entry.name)
            if found is not None and file_entry(entry.name, entry.role, found) != entry:
                raise CorruptCodec(
                    f"{entry.name} is damaged: expected {entry.size_bytes} bytes with sha256 "
                    f"{entry.sha256[:12]}…, found {len(found)} bytes; copy the codec again"
                )
        return cls(parsed, contents, manifest)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CodecFiles:
        """Read a codec folder.

        Raises:
            InvalidInput: there is no such folder.
            CorruptCodec: it isn't a codec, or files are missing or damaged.
            IncompatibleStore: a later version wrote it.
            StorageError: the file system refused.
        """
        folder = Path(path)
        try:
            if not folder.exists():
                raise InvalidInput(f"{folder}: no such codec; make one with `engine train`")
            if not (folder / MANIFEST).is_file():
                raise CorruptCodec(f"not a codec (no {MANIFEST} in it)")
            text = (folder / MANIFEST).read_bytes()
            manifest = Manifest.from_json(text)
            contents = {entry.name: _read_file(folder / entry.name) for entry in manifest.files}
            return cls.from_contents(text, contents)
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
        Manifest.from_json((folder / MANIFEST).read_bytes())
    except IncompatibleStore:
        return True
    except (CorruptCodec, FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    return True


def _read_file(path: Path) -> bytes:
    if not path.is_file():
        raise CorruptCodec(f"{path.name} is missing; copy the codec again")
    return path.read_bytes()
