"""Checks every object of a store against its head and ledger, and says what is wrong with each."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.errors import EngineError
from engine.store.arrays import METADATA, group_metadata
from engine.store.contents import StoreContents
from engine.store.head import ATTRIBUTE
from engine.store.objects import LocalObjects
from engine.store.plan import COMMITS
from engine.store.shard import split_shard
from engine.store.shard_index import INDEX_FORMS

_READ_BYTES = 64 << 20  # of an object, if the store lists none larger


@dataclass(frozen=True)
class Inspection:
    """What is wrong with a store's objects, by name; `checked` counts those looked at."""

    problems: Mapping[str, str]
    checked: int


def inspect(
    contents: StoreContents, progress: Callable[[int, int], None] | None = None
) -> Inspection:
    """Read every object of a store and compare it with the digests of head and ledger.

    Where the ledger can't be read, shard objects are checked by their own checksums.

    Args:
        contents: the store.
        progress: called with objects done and objects in all.
    """
    problems = _head_problems(contents)
    try:
        expected = dict(contents.head.objects) | contents.expected_shard_objects()
        orphans: list[str] = []
    except EngineError:
        expected = dict(contents.head.objects)
        orphans = _shard_keys(contents)
        broken = [key for key in orphans if not _is_intact(contents, key)]
        problems |= dict.fromkeys(broken, "damaged (its checksum is wrong)")
    places = {sha256: key for key, (_, sha256) in expected.items()}
    longest = max([_READ_BYTES, *(size for size, _ in expected.values())])
    for done, (key, entry) in enumerate(sorted(expected.items()), 1):
        problem = _problem(contents, key, entry, places, longest)
        if problem is not None:
            problems[key] = problem
        if progress is not None:
            progress(done, len(expected))
    known = {METADATA, *expected, *orphans, *_commit_keys(contents)}
    surplus = sorted(set(contents.objects.keys()) - known)
    problems |= dict.fromkeys(surplus, "surplus (the store doesn't list it)")
    return Inspection(dict(sorted(problems.items())), len(expected) + len(orphans) + 1)


def printable(name: str) -> str:
    """A file's name for a line of text: surplus files may be called anything."""
    return name if name.isprintable() else ascii(name)


def head_as_written(objects: LocalObjects) -> bytes:
    """The root's metadata as a writer puts them around the head that they hold."""
    document = json.loads(objects.get(METADATA))
    return group_metadata({ATTRIBUTE: document["attributes"][ATTRIBUTE]})


def _head_problems(contents: StoreContents) -> dict[str, str]:
    """What surrounds the head in its object, which the head's digest doesn't cover."""
    if contents.objects.get(METADATA) == head_as_written(contents.objects):
        return {}
    return {METADATA: "damaged (the head is whole, the metadata around it are not)"}


def _problem(
    contents: StoreContents,
    key: str,
    entry: tuple[int, str],
    places: Mapping[str, str],
    longest: int,
) -> str | None:
    """What is wrong with one object, or None; no more than `longest` bytes of it are looked at."""
    size, sha256 = entry
    try:
        content = contents.objects.get(key, min(longest, contents.trusted.max_memory_bytes))
    except EngineError as error:
        missing = contents.objects.size_of(key) is None
        return "missing" if missing else str(error)
    found = hashlib.sha256(content).hexdigest()
    if (len(content), found) == (size, sha256):
        return None
    if found in places:
        return f"swapped (these are the bytes of {places[found]})"
    if 0 < len(content) <= longest and _is_shard(contents, key) and _is_intact(contents, key):
        return "replaced (intact, but not what was committed here: of another store or time)"
    if len(content) < size:
        return f"truncated (expected {size} bytes, found {len(content)})"
    return f"damaged (expected {size} bytes with sha256 {sha256[:12]}…, found {found[:12]}…)"


def _is_shard(contents: StoreContents, key: str) -> bool:
    return any(key.startswith(f"{contents.part.path}/{name}/c/") for name in contents.part.arrays)


def _shard_keys(contents: StoreContents) -> list[str]:
    return [key for key in list(contents.objects.keys()) if _is_shard(contents, key)]


def _commit_keys(contents: StoreContents) -> list[str]:
    """The ledger's records of a store that is still being written."""
    if contents.is_sealed:
        return []
    return [key for key in list(contents.objects.keys()) if key.startswith(f"{COMMITS}/c/")]


def _is_intact(contents: StoreContents, key: str) -> bool:
    """Whether an object is a shard whose index and chunks have the checksums they close with."""
    counts = {contents.part.shard_samples // contents.part.chunk_samples, 1}
    try:
        content = contents.objects.get(key, contents.trusted.max_memory_bytes)
    except EngineError:
        return False
    for chunks, form in itertools.product(counts, INDEX_FORMS):  # metadata may be damaged, too
        with contextlib.suppress(EngineError):
            split_shard(content, chunks, key, form)
            return True
    return False
