"""Writes a store: one shard, one writer, one commit; killed anywhere, it goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from engine.codec.files import MANIFEST
from engine.errors import CorruptStore, IncompatibleStore, IncompleteStore, StorageError
from engine.store.arrays import METADATA, bytes_metadata, group_metadata, group_paths
from engine.store.byte_array import byte_array, codec_file_array
from engine.store.head import VARIABLE, WRITING, Head
from engine.store.ledger import Mode, make_record, parse_record, record_dtype
from engine.store.objects import LocalObjects
from engine.store.plan import CERTIFICATE, COMMITS, LEDGER, PART, StorePlan
from engine.store.root import read_head
from engine.store.shard import ShardObject

LEDGER_CHUNK_RECORDS = 4096


class StoreWriter:
    """A store being written; `create` or `resume` one, `commit` each shard, then `seal`."""

    def __init__(self, objects: LocalObjects, plan: StorePlan, head: Head) -> None:
        """Use `create` or `resume`."""
        self._objects = objects
        self.plan = plan
        self._record = record_dtype(plan.arrays, plan.guarantee)
        self.head = head

    @classmethod
    def create(cls, objects: LocalObjects, plan: StorePlan) -> StoreWriter:
        """Write the codec and the metadata between two heads that say `writing`.

        The first makes the folder a store that can be gone on with, whatever it held before; the
        second lists what was written. A store killed in between is created again.
        """
        head = Head(
            store_id=plan.store_id,
            state=WRITING,
            generation=0,
            codec=plan.codec.digest,
            variables={VARIABLE: (plan.part,)},
            fingerprint=plan.fingerprint,
            objects={},
            portable=all(array.coded.coding.is_portable for array in plan.arrays),
        )
        objects.put(METADATA, head.to_metadata())
        objects.clear(keep=METADATA)
        written = _put_all(objects, _codec_objects(plan) | _metadata_objects(plan))
        head = dataclasses.replace(head, objects=written)
        objects.put(METADATA, head.to_metadata())
        return cls(objects, plan, head)

    @classmethod
    def resume(cls, objects: LocalObjects, plan: StorePlan) -> StoreWriter:
        """Go on with a store that the same job began, or end what it had all but ended.

        Raises:
            CorruptStore: its head is damaged.
            IncompatibleStore: another codec, other data or other options began it.
        """
        head = read_head(objects)
        differing = plan.differences(head.fingerprint)
        if differing:
            raise IncompatibleStore(
                f"{objects}: was begun by another job (different: {', '.join(differing)}); "
                f"pass --overwrite to write it anew, or choose another path"
            )
        writer = cls(objects, plan, head)
        if writer.is_sealed:
            writer._finish()
        elif not writer._is_created():
            return cls.create(objects, plan)
        objects.sweep()
        return writer

    @classmethod
    def reopen(
        cls, objects: LocalObjects, plan: StorePlan, head: Head, records: Mapping[int, bytes]
    ) -> StoreWriter:
        """Take a sealed store back to being written, with only these shards committed.

        Killed before the head is put, the store is what it was; after that, it is one to go on
        with.
        """
        for shard, record in records.items():
            objects.put(f"{COMMITS}/c/{shard}", record)
        commits = f"{COMMITS}/{METADATA}"
        ledger = f"{PART}/{LEDGER}/"
        written = _put_all(objects, {commits: _metadata_objects(plan)[commits]})
        kept = {key: entry for key, entry in head.objects.items() if not key.startswith(ledger)}
        head = dataclasses.replace(head, state=WRITING, objects=kept | written)
        objects.put(METADATA, head.to_metadata())
        return cls(objects, plan, head)

    @property
    def is_sealed(self) -> bool:
        """Whether every shard was committed and the head says so."""
        return self.head.state != WRITING

    @property
    def record_bytes(self) -> int:
        """Size of a ledger record."""
        return self._record.itemsize

    def commit(self, shard: int, made: Mapping[str, ShardObject], facts: Mapping[str, Any]) -> None:
        """Write the objects of a shard, then its ledger record; only that makes it count.

        Args:
            shard: which shard.
            made: the encoded objects by the array's name; an array left out has none here.
            facts: fields of the ledger record that describe the samples and how they are kept.
        """
        for array in self.plan.arrays:
            if array.name in made:
                self._objects.put(f"{PART}/{array.key(shard)}", made[array.name].content)
            else:
                # A killed job on another machine may have chosen another way.
                self._objects.remove(f"{PART}/{array.name}/c/{shard}")
        self._objects.put(f"{COMMITS}/c/{shard}", self.record(shard, made, facts))

    def record(
        self, shard: int, made: Mapping[str, ShardObject], facts: Mapping[str, Any]
    ) -> bytes:
        """The ledger record of a shard; see `commit`."""
        start, stop = self.plan.grid.shard_rows(shard)
        values = {
            "store_id": np.frombuffer(bytes.fromhex(self.head.store_id), np.uint8),
            "shard": shard,
            "row_start": start,
            "row_stop": stop,
            **facts,
        }
        for position, array in enumerate(self.plan.arrays):
            if array.name in made:
                shard_object = made[array.name]
                digest = hashlib.sha256(shard_object.content).digest()
                values |= {
                    f"size_bytes_{position}": len(shard_object.content),
                    f"sha256_{position}": np.frombuffer(digest, np.uint8),
                    f"index_crc32c_{position}": shard_object.index_crc32c,
                    f"chunk_crc32c_{position}": shard_object.chunk_crc32c,
                }
        return make_record(self._record, values)

    def committed(self) -> dict[int, np.void]:
        """Ledger records of the shards that are whole on the disk.

        A damaged or foreign record doesn't count, nor does one whose objects are missing or have
        another size. Their digests are left to `verify`: they would cost a read of everything.
        """
        records = {}
        for shard in range(self.plan.grid.shard_count):
            with contextlib.suppress(CorruptStore):
                content = self._objects.get(f"{COMMITS}/c/{shard}")
                record = parse_record(
                    content, self._record, bytes.fromhex(self.head.store_id), shard
                )
                if self._is_whole(record, shard):
                    records[shard] = record
        return records

    def seal(self) -> None:
        """Compact the ledger and put the head that makes the store complete.

        Raises:
            IncompleteStore: shards are missing.
        """
        records = self.committed()
        if len(records) != self.plan.grid.shard_count:
            raise IncompleteStore(
                f"{self._objects}: {len(records)} of {self.plan.grid.shard_count} shards are "
                f"whole; run the same job again"
            )
        ledger = b"".join(records[shard].tobytes() for shard in sorted(records))
        dispensable = (COMMITS, *self._dispensable(records.values()))
        kept = {
            key: entry
            for key, entry in self.head.objects.items()
            if not key.startswith(tuple(f"{name}/" for name in dispensable))
        }
        self.head = self.head.sealed(
            kept | _put_all(self._objects, _ledger_objects(ledger, self._record))
        )
        self._objects.put(METADATA, self.head.to_metadata())
        self._finish()

    def _dispensable(self, records: Iterable[np.void]) -> list[str]:
        """Networks and certificate, where no shard needs them and nobody wants latents."""
        needed = any(Mode(record["mode"]).needs_network for record in records)
        if needed or not self.plan.may_do_without_network:
            return []
        return self._networks()

    def _networks(self) -> list[str]:
        names = self.plan.codec_contents.keys() - {MANIFEST}
        return [*(f"codecs/{self.plan.codec.digest}/{name}" for name in sorted(names)), CERTIFICATE]

    def _finish(self) -> None:
        """Remove what a sealed store no longer needs."""
        for name in (COMMITS, *self._networks()):
            if f"{name}/{METADATA}" not in self.head.objects:
                self._objects.remove(name)

    def _is_created(self) -> bool:
        """Whether all that lies between the two heads of `create` is there."""
        return bool(self.head.objects) and all(
            self._objects.size_of(key) == size for key, (size, _) in self.head.objects.items()
        )

    def _is_whole(self, record: np.void, shard: int) -> bool:
        return all(
            (self._objects.size_of(f"{PART}/{array.key(shard)}") or 0)
            == record[f"size_bytes_{position}"]
            for position, array in enumerate(self.plan.arrays)
        )


def expected_objects(plan: StorePlan, ledger: bytes | None = None) -> dict[str, bytes]:
    """What a store planned so has beside its shards and their records."""
    objects = _codec_objects(plan) | _metadata_objects(plan)
    if ledger is not None:
        objects |= _ledger_objects(ledger, record_dtype(plan.arrays, plan.guarantee))
    return objects


def any_commit(objects: LocalObjects) -> bool:
    """Whether a store being written may have a shard that counts."""
    try:
        return any((objects.folder / COMMITS / "c").glob("[0-9]*"))
    except OSError:
        return True


def discard(objects: LocalObjects) -> None:
    """Remove a store as far as the file system lets it, its head last."""
    with contextlib.suppress(StorageError, OSError):
        objects.clear(keep=METADATA)
        objects.remove(METADATA)
        objects.folder.rmdir()


def _metadata_objects(plan: StorePlan) -> dict[str, bytes]:
    arrays = {f"{PART}/{array.name}": array.metadata() for array in plan.arrays}
    size = record_dtype(plan.arrays, plan.guarantee).itemsize
    arrays[COMMITS] = bytes_metadata(size * plan.grid.shard_count, size, None)
    groups = {name: group_metadata({}) for name in group_paths(list(arrays))}
    groups[VARIABLE] = group_metadata(plan.variable_attributes)
    return {f"{name}/{METADATA}": content for name, content in (groups | arrays).items()}


def _codec_objects(plan: StorePlan) -> dict[str, bytes]:
    folder = f"codecs/{plan.codec.digest}"
    objects = {f"{name}/{METADATA}": group_metadata({}) for name in ("codecs", folder)}
    for name, content in plan.codec_contents.items():
        objects |= codec_file_array(f"{folder}/{name}", content)
    if plan.certificate is not None:
        objects |= codec_file_array(CERTIFICATE, plan.certificate)
    return objects


def _ledger_objects(ledger: bytes, record: np.dtype[Any]) -> dict[str, bytes]:
    return byte_array(f"{PART}/{LEDGER}", ledger, LEDGER_CHUNK_RECORDS * record.itemsize)


def _put_all(objects: LocalObjects, contents: Mapping[str, bytes]) -> dict[str, tuple[int, str]]:
    for key, content in contents.items():
        objects.put(key, content)
    return {
        key: (len(content), hashlib.sha256(content).hexdigest())
        for key, content in contents.items()
    }
