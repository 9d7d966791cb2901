"""The root of a store: whether one lies in a folder, and its head."""

from __future__ import annotations

import json
import os

from engine.errors import CorruptStore, IncompatibleStore, InvalidInput
from engine.limits import DEFAULT_MEMORY_LIMIT, json_bytes, memory_problem
from engine.store.arrays import METADATA
from engine.store.head import ATTRIBUTE, Head
from engine.store.objects import LocalObjects


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a latent store, complete or not, lies at `path`.

    Raises:
        StorageError: the file system refused to look.
    """
    try:
        objects = LocalObjects(path)
        if json_bytes(objects.size_of(METADATA) or 0) > DEFAULT_MEMORY_LIMIT:
            return False
        document = json.loads(objects.get(METADATA))
    except (CorruptStore, ValueError, RecursionError):
        return False
    attributes = document.get("attributes") if isinstance(document, dict) else None
    return isinstance(attributes, dict) and ATTRIBUTE in attributes


def read_head(objects: LocalObjects, max_memory_bytes: int = DEFAULT_MEMORY_LIMIT) -> Head:
    """Read the head of a store, complete or not.

    Raises:
        InvalidInput: there is nothing.
        CorruptStore: it isn't a latent store, or its head is damaged.
        IncompatibleStore: it needs a later version of the engine.
    """
    size = objects.size_of(METADATA)
    if size is None:
        if not objects.folder.exists():
            raise InvalidInput(f"{objects}: no such store; make one with `engine compress`")
        raise CorruptStore(f"{objects}: not a latent store (no {METADATA} in it)")
    if problem := memory_problem(METADATA, json_bytes(size), max_memory_bytes):
        raise CorruptStore(f"{objects}: {problem}")
    try:
        return Head.from_metadata(objects.get(METADATA, size))
    except (CorruptStore, IncompatibleStore) as error:
        raise type(error)(f"{objects}: {error}") from None
