"""The codec that lies in a store: byte arrays that the head vouches for, and a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.codec.files import MANIFEST, CodecFiles, file_entry
from engine.codec.manifest import MAX_MANIFEST_BYTES, FileEntry, Manifest
from engine.errors import CorruptCodec, CorruptStore
from engine.store.arrays import METADATA
from engine.store.head import Head
from engine.store.trusted import TrustedObjects


def read_codec(trusted: TrustedObjects, head: Head) -> CodecFiles:
    """Read the manifest of a store's codec; its files that the head has are read when needed.

    So a store whose encoder is damaged still decodes.

    Raises:
        CorruptStore: it is damaged, or not the codec that the head names.
        IncompatibleStore: a later version of the engine wrote it.
    """
    folder = f"codecs/{head.codec}"
    if f"{folder}/{MANIFEST}/{METADATA}" not in head.objects:
        raise CorruptStore(f"{trusted}: the codec has no {MANIFEST}")
    text = trusted.bytes_array(f"{folder}/{MANIFEST}", MAX_MANIFEST_BYTES)
    try:
        manifest = Manifest.from_json(text, trusted.max_memory_bytes)
    except CorruptCodec as error:
        raise CorruptStore(f"{trusted}: {folder}: {error}") from None
    there = {
        entry.name: entry
        for entry in manifest.files
        if f"{folder}/{entry.name}/{METADATA}" in head.objects
    }
    codec = CodecFiles(
        manifest, _StoredFiles(trusted, folder, there), text, trusted.max_memory_bytes
    )
    if codec.digest != head.codec:
        raise CorruptStore(f"{trusted}: {folder}: the codec's digest is wrong")
    return codec


class _StoredFiles(Mapping[str, bytes]):
    """The files of a codec in a store, each read and checked when it is first asked for."""

    def __init__(
        self, trusted: TrustedObjects, folder: str, entries: Mapping[str, FileEntry]
    ) -> None:
        self._trusted, self._folder, self._entries = trusted, folder, entries
        self._read: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> bytes:
        if name not in self._read:
            entry, where = self._entries[name], f"{self._folder}/{name}"
            content = self._trusted.bytes_array(where, entry.size_bytes)
            if file_entry(name, entry.role, content) != entry:
                raise CorruptStore(f"{self._trusted}: {where} is not what the manifest says")
            self._read[name] = content
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
