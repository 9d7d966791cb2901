"""The codec that lies in a store: byte arrays that the head vouches for, and a manifest."""

from __future__ import annotations

from engine.codec.files import MANIFEST, CodecFiles
from engine.codec.manifest import MAX_MANIFEST_BYTES, Manifest
from engine.errors import CorruptCodec, CorruptStore
from engine.store.arrays import METADATA
from engine.store.head import Head
from engine.store.trusted import TrustedObjects


def read_codec(trusted: TrustedObjects, head: Head) -> CodecFiles:
    """Read the files of a store's codec that its manifest lists and the head has.

    Raises:
        CorruptStore: it is damaged, or not the codec that the head names.
        IncompatibleStore: a later version of the engine wrote it.
    """
    folder = f"codecs/{head.codec}"
    if f"{folder}/{MANIFEST}/{METADATA}" not in head.objects:
        raise CorruptStore(f"{trusted}: the codec has no {MANIFEST}")
    text = trusted.bytes_array(f"{folder}/{MANIFEST}", MAX_MANIFEST_BYTES)
    try:
        contents = {
            entry.name: trusted.bytes_array(f"{folder}/{entry.name}", entry.size_bytes)
            for entry in Manifest.from_json(text, trusted.max_memory_bytes).files
            if f"{folder}/{entry.name}/{METADATA}" in head.objects
        }
        codec = CodecFiles.from_contents(text, contents, trusted.max_memory_bytes)
    except CorruptCodec as error:
        raise CorruptStore(f"{trusted}: {folder}: {error}") from None
    if codec.digest != head.codec:
        raise CorruptStore(f"{trusted}: {folder}: the codec's digest is wrong")
    return codec
