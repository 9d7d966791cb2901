"""The head: attributes of the root group, the one place that says what the store is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from engine.errors import CorruptStore, IncompatibleStore
from engine.store.arrays import METADATA, group_metadata
from engine.store.objects import is_name

FORMAT_VERSION = 1
ATTRIBUTE = "latent_store"
WRITING = "writing"
SEALED = "sealed"
VARIABLE = "data"
KNOWN_FEATURES: frozenset[str] = frozenset()
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STORE_ID = re.compile(r"[0-9a-f]{32}")
_MOST_SAMPLES = (1 << 63) - 1


@dataclass(frozen=True)
class Part:
    """An immutable run of shards that became visible at once.

    `arrays` names, in the order of the ledger's records, the arrays that have an object a shard.
    """

    path: str
    samples: int
    chunk_samples: int
    shard_samples: int
    arrays: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse sizes and names that no store has."""
        sizes = (self.samples, self.chunk_samples, self.shard_samples)
        if not all(type(size) is int and 0 < size <= _MOST_SAMPLES for size in sizes):
            raise ValueError(f"a part of {sizes} samples")
        if not all(type(name) is str and is_name(name) for name in (self.path, *self.arrays)):
            raise ValueError(f"a part of {self.arrays} at {self.path}")
        if self.path != f"{VARIABLE}/part-0":
            raise ValueError(f"a part at {self.path}")
        if len(set(self.arrays)) < len(self.arrays):
            raise ValueError(f"a part with two arrays of one name in {self.arrays}")


@dataclass(frozen=True)
class Head:
    """What the store is, how far it is written, and the digests of everything but its shards.

    `objects` maps the name of each such object to `[size_bytes, sha256]`; the ledger has the rest.
    """

    store_id: str
    state: str
    generation: int
    codec: str
    variables: Mapping[str, tuple[Part, ...]]
    fingerprint: Mapping[str, Any]
    objects: Mapping[str, tuple[int, str]]
    portable: bool = True
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what can't be the head of a store."""
        if self.state not in (WRITING, SEALED) or not self.variables.get(VARIABLE):
            raise ValueError(f"state {self.state!r}, variables {list(self.variables)}")
        if not (_STORE_ID.fullmatch(self.store_id) and _SHA256.fullmatch(self.codec)):
            raise ValueError(f"store {self.store_id}, codec {self.codec}")
        if type(self.generation) is not int or self.generation < 0:
            raise ValueError(f"generation {self.generation}")
        if not isinstance(self.fingerprint, Mapping):
            raise TypeError("the fingerprint is no mapping")

    def sealed(self, objects: Mapping[str, tuple[int, str]]) -> Head:
        """This head once every shard is written: the next generation, with these objects."""
        return replace(self, state=SEALED, generation=self.generation + 1, objects=dict(objects))

    def to_metadata(self) -> bytes:
        """The root group's `zarr.json`."""
        document = asdict(self) | {"format": FORMAT_VERSION}
        document["sha256"] = _digest(document)
        return group_metadata({ATTRIBUTE: document})

    @classmethod
    def from_metadata(cls, content: bytes) -> Head:
        """Read the root group's `zarr.json`.

        Raises:
            CorruptStore: this is no latent store, or its head is damaged.
            IncompatibleStore: it needs a later version of the engine.
        """
        document = _head_document(content)
        try:
            _check_version(document)
            if document.pop("sha256") != _digest(document):
                raise CorruptStore(f"{METADATA}: the head is damaged (its digest is wrong)")
            head = _parse(document)
            _check_parts(head)
            return head
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise CorruptStore(f"{METADATA}: the head is damaged ({error!r:.300})") from None
        except RecursionError:
            raise CorruptStore(f"{METADATA}: the head is damaged (nested too deep)") from None


def _check_version(document: dict[str, Any]) -> None:
    version = document["format"]
    unknown = [name for name in document["required"] if name not in KNOWN_FEATURES]
    if version != FORMAT_VERSION or unknown:
        raise IncompatibleStore(
            f"the store has format {version!r:.99} and requires {unknown or 'nothing else'!s:.99}; "
            f"this engine reads format {FORMAT_VERSION}: update the engine"
        )


def _check_parts(head: Head) -> None:
    if {name: len(parts) for name, parts in head.variables.items()} != {VARIABLE: 1}:
        raise IncompatibleStore(
            f"the store has other variables than {VARIABLE!r}, or several parts; this engine reads "
            f"one of each: update the engine"
        )


def _parse(document: dict[str, Any]) -> Head:
    known = {name: document[name] for name in Head.__dataclass_fields__}
    known["variables"] = {
        name: tuple(map(_parse_part, parts)) for name, parts in known["variables"].items()
    }
    known["objects"] = {key: _entry(key, *entry) for key, entry in known["objects"].items()}
    for name in ("required", "optional"):
        known[name] = tuple(known[name])
    return Head(**known)


def _entry(key: str, size_bytes: int, sha256: str) -> tuple[int, str]:
    """What the head says of an object, checked."""
    if not is_name(key):
        raise ValueError(f"an object of the name {key!r}")
    if type(size_bytes) is not int or size_bytes < 0 or not _SHA256.fullmatch(sha256):
        raise ValueError(f"{key} has size {size_bytes} and sha256 {sha256}")
    return size_bytes, sha256


def _parse_part(document: dict[str, Any]) -> Part:
    known = {name: document[name] for name in Part.__dataclass_fields__}
    return Part(**known | {"arrays": tuple(known["arrays"])})


def _head_document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)["attributes"][ATTRIBUTE]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise CorruptStore(f"not a latent store (its {METADATA} has no {ATTRIBUTE!r})") from None
    if not isinstance(document, dict):
        raise CorruptStore(f"{METADATA}: the head is damaged (not an object)")
    return document


def _digest(document: Mapping[str, Any]) -> str:
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
