"""What the head of a store vouches for: objects by digest, metadata, and arrays of bytes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.errors import CorruptStore, InvalidInput
from engine.limits import json_bytes, memory_problem
from engine.store.arrays import METADATA, axis_lengths
from engine.store.head import Head
from engine.store.objects import LocalObjects
from engine.store.shard import decode_chunk

_NONSENSE = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, InvalidInput)


class TrustedObjects:
    """The objects that a head lists; whatever differs from its digest there is refused.

    `max_memory_bytes` is the largest allocation that what lies in the store may ask for.
    """

    def __init__(self, objects: LocalObjects, head: Head, max_memory_bytes: int) -> None:
        """Trust what `head` lists of `objects`."""
        self._objects = objects
        self._head = head
        self.max_memory_bytes = max_memory_bytes

    def __str__(self) -> str:
        return str(self._objects)

    def get(self, key: str) -> bytes:
        """A listed object.

        Raises:
            CorruptStore: it isn't listed, is missing, or differs from its digest.
        """
        if key not in self._head.objects:
            raise CorruptStore(f"{self._objects}: the head doesn't list {key}")
        size, sha256 = self._head.objects[key]
        self.check_size(size, key)
        content = self._objects.get(key, size)
        if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
            raise CorruptStore(
                f"{self._objects}: {key} is damaged (expected {size} bytes with sha256 "
                f"{sha256[:12]}…, found {len(content)} bytes)"
            )
        return content

    def metadata(self, key: str) -> dict[str, Any]:
        """A `zarr.json` as it was parsed."""
        content = self.get(key)
        self.check_size(json_bytes(len(content)), key)
        with self.making_sense(key):
            document: dict[str, Any] = json.loads(content)
            return document

    def bytes_array(self, name: str, limit_bytes: int | None = None) -> bytes:
        """The content of a one-dimensional uint8 array, which may have `limit_bytes` at most."""
        key = f"{name}/{METADATA}"
        document = self.metadata(key)
        with self.making_sense(key):
            (size,) = axis_lengths(document["shape"])
            (chunk_bytes,) = axis_lengths(document["chunk_grid"]["configuration"]["chunk_shape"])
            if chunk_bytes > size or (limit_bytes is not None and size > limit_bytes):
                raise ValueError(f"{size} bytes in chunks of {chunk_bytes}")
        self.check_size(size, name)
        content = bytearray()
        while len(content) < size:
            key = f"{name}/c/{len(content) // chunk_bytes}"
            where = f"{self._objects}: {key}"
            chunk = decode_chunk(self.get(key), (chunk_bytes,), np.dtype(np.uint8), where)
            content += chunk.tobytes()
        del content[size:]
        return bytes(content)

    def check_size(self, size_bytes: int, what: str) -> None:
        """Refuse, before memory is asked for, what would take more than the cap.

        Raises:
            CorruptStore: it would.
        """
        if problem := memory_problem(what, size_bytes, self.max_memory_bytes):
            raise CorruptStore(f"{self._objects}: {problem}")

    @contextlib.contextmanager
    def making_sense(self, key: str) -> Iterator[None]:
        """Metadata can have the digest that the head lists, and still say nothing sensible."""
        try:
            yield
        except _NONSENSE as error:
            raise CorruptStore(f"{self._objects}: {key} makes no sense ({error!r:.300})") from None
        except RecursionError:
            raise CorruptStore(f"{self._objects}: {key} makes no sense (nested too deep)") from None
