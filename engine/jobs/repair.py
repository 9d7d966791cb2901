"""Repair: what is damaged in a store is made again from the data, and nothing else is touched."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import CorruptCodec, CorruptStore, InvalidInput
from engine.jobs.compression_job import CompressionJob
from engine.jobs.former_job import former_job
from engine.jobs.shard_task import MadeShard
from engine.jobs.sidecars import Sidecar
from engine.runtime.codec import Codec
from engine.sources import open_source
from engine.store.arrays import METADATA
from engine.store.contents import StoreContents
from engine.store.inspection import head_as_written, inspect, printable
from engine.store.lease import lease
from engine.store.plan import LEDGER, PART, SIDECARS
from engine.store.shard import ShardObject, split_shard
from engine.store.shard_index import closing_crc32c
from engine.store.writer import StoreWriter, expected_objects


@dataclass(frozen=True)
class RepairReport:
    """What a repair did: `repaired` and `removed` name objects, `shards` were made again.

    `identical` says whether they are what they were before the damage, byte for byte; on another
    kind of machine they may differ within the guarantee.
    """

    repaired: tuple[str, ...]
    removed: tuple[str, ...]
    shards: tuple[int, ...]
    identical: bool


def repair(
    store: str | os.PathLike[str],
    data: Any,
    *,
    codec: Codec | str | os.PathLike[str] | None = None,
    key: str | None = None,
    sidecars: Mapping[str, Any] | Sequence[Any] | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> RepairReport:
    """Make the damaged objects of a store again, from the data that it was made of.

    Args:
        store: path of a store.
        data: the data that was compressed, a path or an array-like.
        codec: the codec, or its path, where the store's own copy is damaged or has no encoder.
        key: which array of an `.npz` file or Zarr group `data` is.
        sidecars: arrays carried along, as for `compress`; only damaged ones are needed.
        device: where to run the networks: `auto`, `cpu` or `cuda`.
        progress: called with shards done and shards to do.

    Raises:
        InvalidInput: `data`, `codec` or a sidecar is not what the store was made of, or is needed.
        CorruptStore: nothing can be made again because the head, or what else says what the store
            was, is lost.
        IncompleteStore: the job that writes the store has not ended.
    """
    contents = StoreContents(store)
    with lease(contents.objects.folder), open_source(data, key=key) as source:
        contents.objects.sweep()
        damaged = set(inspect(contents).problems)
        if not damaged:
            return RepairReport((), (), (), identical=True)
        try:
            job = former_job(contents, source, codec, sidecars, device)
            return _Repair(contents, job, damaged).run(progress)
        except CorruptCodec as error:
            raise InvalidInput(
                f"{contents.objects}: can't be repaired without the codec ({error}); pass it "
                f"(--codec)"
            ) from None


class _Repair:
    """One repair of one store: first what the head vouches for, then what the ledger does."""

    def __init__(self, contents: StoreContents, job: CompressionJob, damaged: set[str]) -> None:
        self._contents, self._job, self._damaged = contents, job, damaged
        self._objects = contents.objects
        self._plan = job.coded(job.plan(), contents)
        self._compress = job.compressor(self._plan)

    def run(self, progress: Callable[[int, int], None] | None) -> RepairReport:
        """Put what comes out as it was; commit anew the shards that don't."""
        listed = self._put_listed()
        if listed:  # without them, not all that is wrong with the shards could be seen
            self._contents = StoreContents(self._objects.folder)
            self._damaged = set(inspect(self._contents).problems)
        expected = self._contents.expected_shard_objects()
        hit = self._hit_shards(expected)
        changed = []
        for done, shard in enumerate(hit, 1):
            if not self._remake(shard, expected):
                changed.append(shard)
            if progress is not None:
                progress(done, len(hit))
        surplus = self._damaged - expected.keys()
        self._objects.remove_files(surplus)
        if changed:
            self._commit_anew(changed)
        repaired = listed | (self._damaged & expected.keys())
        removed = map(printable, sorted(surplus))
        return RepairReport(
            tuple(sorted(repaired)), tuple(removed), tuple(hit), identical=not changed
        )

    def _put_listed(self) -> set[str]:
        """Put the damaged objects that the head lists, and what surrounds the head itself.

        Raises:
            CorruptStore: one doesn't come out as it was; nothing was put.
        """
        listed = self._contents.head.objects
        damaged = self._damaged & listed.keys()
        remade = expected_objects(self._plan, self._ledger(damaged)) if damaged else {}
        for key in sorted(damaged):
            content = remade.get(key, b"")
            if _entry(content) != listed[key]:
                raise CorruptStore(
                    f"{self._objects}: {key} can't be made again as it was; pass the codec "
                    f"(--codec), or compress the data again with --overwrite"
                )
        for key in sorted(damaged):
            self._objects.put(key, remade[key])
        if METADATA not in self._damaged:
            return damaged
        self._objects.put(METADATA, head_as_written(self._objects))
        return damaged | {METADATA}

    def _ledger(self, damaged: Iterable[str]) -> bytes:
        """All records, made again; zeros where none of them is damaged."""
        writer = StoreWriter(self._objects, self._plan, self._contents.head)
        if not any(key.startswith(f"{PART}/{LEDGER}/c/") for key in damaged):
            return bytes(self._plan.grid.shard_count * writer.record_bytes)
        records = []
        for shard in range(self._plan.grid.shard_count):
            made, facts = self._made(shard)
            records.append(
                writer.record(shard, made | self._sidecars(shard, ledger_lost=True), facts)
            )
        return b"".join(records)

    def _made(self, shard: int) -> MadeShard:
        start, stop = self._plan.grid.shard_rows(shard)
        return self._compress(self._job.blocks(start, stop), stop - start)()

    def _sidecars(self, shard: int, *, ledger_lost: bool = False) -> dict[str, ShardObject]:
        """The objects of the sidecars of a shard: as they lie there, if they are whole.

        Without the ledger they may be those of another shard, so a source is the better witness.
        """
        made = {}
        for name, sidecar in self._job.sidecars.items():
            array = self._plan.array(f"{SIDECARS}/{name}")
            key = f"{PART}/{array.key(shard)}"
            lost = key in self._damaged or self._objects.size_of(key) is None
            if lost or (ledger_lost and isinstance(sidecar, Sidecar)):
                rows = sidecar.read(*self._plan.grid.shard_rows(shard))
                made[array.name] = array.encode_shard(rows)
            else:
                made[array.name] = _as_stored(self._objects.get(key), key)
        return made

    def _hit_shards(self, expected: Container[str]) -> list[int]:
        """Shards with a damaged object."""
        return [
            shard
            for shard in range(self._plan.grid.shard_count)
            if any(key in expected for key in self._damaged_of(shard))
        ]

    def _damaged_of(self, shard: int) -> dict[str, str]:
        """The damaged objects of a shard, and the arrays that they are of."""
        keys = {f"{PART}/{array.key(shard)}": array.name for array in self._plan.arrays}
        return {key: name for key, name in keys.items() if key in self._damaged}

    def _remake(self, shard: int, expected: Mapping[str, tuple[int, str]]) -> bool:
        """Put the damaged objects of a shard, if all of them come out as they were."""
        damaged = {key: name for key, name in self._damaged_of(shard).items() if key in expected}
        made, facts = self._made(shard)
        self._check_source(shard, facts)
        made |= self._sidecars(shard)
        for key, name in damaged.items():
            if name not in made or _entry(made[name].content) != expected[key]:
                self._check_not_sidecar(name, shard)
                return False
        for key, name in damaged.items():
            self._objects.put(key, made[name].content)
        return True

    def _check_source(self, shard: int, facts: Mapping[str, Any]) -> None:
        """Refuse data that differ where the fingerprint didn't look."""
        recorded = self._contents.record(shard)["source_xxh3_128"]
        if bytes(facts["source_xxh3_128"]) != bytes(recorded):
            start, stop = self._plan.grid.shard_rows(shard)
            raise InvalidInput(
                f"{self._job.source.name}: samples {start} to {stop - 1} are not those that "
                f"{self._objects} was made of"
            )

    def _check_not_sidecar(self, name: str, shard: int) -> None:
        """Nothing but its bytes tells whether a sidecar is the right one."""
        if name.startswith(f"{SIDECARS}/"):
            start, stop = self._plan.grid.shard_rows(shard)
            raise InvalidInput(
                f"{name} of samples {start} to {stop - 1} doesn't come out as it was in "
                f"{self._objects}; pass the array that the store was made of"
            )

    def _commit_anew(self, changed: list[int]) -> None:
        """Take the store back to being written, and do these shards as a job does them."""
        kept = {
            shard: record.tobytes()
            for shard, record in enumerate(self._contents.ledger)
            if shard not in changed
        }
        writer = StoreWriter.reopen(self._objects, self._plan, self._contents.head, kept)
        for shard in changed:
            made, facts = self._made(shard)
            writer.commit(shard, made | self._sidecars(shard), facts)
        writer.seal()


def _entry(content: bytes) -> tuple[int, str]:
    """Size and digest of an object, as the head and the ledger have them."""
    return len(content), hashlib.sha256(content).hexdigest()


def _as_stored(content: bytes, key: str) -> ShardObject:
    """The object of an array with one chunk a shard, as it was written."""
    (chunk,) = split_shard(content, 1, key)
    chunk_crc32c = np.array([closing_crc32c(chunk)], np.uint32)
    return ShardObject(content, chunk_crc32c, closing_crc32c(content))
