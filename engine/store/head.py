"""The head: attributes of the root group, the one place that says what the store is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from engine.errors import CorruptStore, IncompatibleStore
from engine.store.arrays import METADATA, group_metadata

FORMAT_VERSION = 1
ATTRIBUTE = "latent_store"
WRITING = "writing"
SEALED = "sealed"
KNOWN_FEATURES: frozenset[str] = frozenset()


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
        version = document.pop("format", None)
        unknown = set(document.get("required", ())) - KNOWN_FEATURES
        if version != FORMAT_VERSION or unknown:
            raise IncompatibleStore(
                f"the store has format {version} and requires {sorted(unknown) or 'nothing else'}; "
                f"this engine reads format {FORMAT_VERSION}: update the engine"
            )
        expected = document.pop("sha256", None)
        if expected != _digest({**document, "format": version}):
            raise CorruptStore(f"{METADATA}: the head is damaged (its digest is wrong)")
        try:
            return _parse(document)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptStore(f"{METADATA}: the head is damaged ({error!r})") from None


def _parse(document: dict[str, Any]) -> Head:
    known = {name: document[name] for name in Head.__dataclass_fields__}
    known["variables"] = {
        name: tuple(Part(**(part | {"arrays": tuple(part["arrays"])})) for part in parts)
        for name, parts in known["variables"].items()
    }
    known["objects"] = {key: (int(size), str(sha)) for key, (size, sha) in known["objects"].items()}
    for name in ("required", "optional"):
        known[name] = tuple(known[name])
    return Head(**known)


def _head_document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)["attributes"][ATTRIBUTE]
    except (ValueError, KeyError, TypeError):
        raise CorruptStore(f"not a latent store (its {METADATA} has no {ATTRIBUTE!r})") from None
    if not isinstance(document, dict):
        raise CorruptStore(f"{METADATA}: the head is damaged (not an object)")
    return document


def _digest(document: Mapping[str, Any]) -> str:
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
