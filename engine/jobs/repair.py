"""Repair: what is damaged in a store is made again from the data, and nothing else is touched."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptStore, EngineError, InvalidInput
from engine.guarantee import Guarantee
from engine.jobs.compression_job import CompressionJob
from engine.jobs.fingerprint import identify
from engine.jobs.fit import check_fit
from engine.jobs.promise import survey_under
from engine.jobs.shard_task import encode_sidecars
from engine.jobs.sidecars import LostSidecar, Sidecar, open_sidecars
from engine.runtime.codec import Codec
from engine.sources import Source, open_source
from engine.store.contents import StoreContents
from engine.store.inspection import inspect
from engine.store.lease import lease
from engine.store.plan import PART, SIDECARS, SidecarFormat
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
        damaged = set(inspect(contents).problems)
        if not damaged:
            return RepairReport((), (), (), identical=True)
        running = _codec(contents, codec, device)
        carried = _sidecars(contents, sidecars, len(source))
        job = _job(contents, source, running, carried)
        return _Repair(contents, job, damaged).run(progress)


class _Repair:
    """One repair of one store."""

    def __init__(self, contents: StoreContents, job: CompressionJob, damaged: set[str]) -> None:
        self._contents, self._job, self._damaged = contents, job, damaged
        self._plan = job.coded(job.plan(), contents)
        self._writer = StoreWriter(contents.objects, self._plan, contents.head)
        self._compress = job.compressor(self._plan)
        self._hit = self._hit_shards()
        with contextlib.suppress(EngineError):
            self._records: NDArray[Any] | None = None
            self._records = contents.ledger

    def run(self, progress: Callable[[int, int], None] | None) -> RepairReport:
        """Put what comes out as it was; commit anew the shards that don't."""
        shards = self._hit
        if self._records is None:  # every record has to be made again
            shards = list(range(self._plan.grid.shard_count))
        made = {}
        for done, shard in enumerate(shards, 1):
            made[shard] = self._remake(shard)
            if progress is not None:
                progress(done, len(shards))
        changed = [] if self._records is None else self._changed(made)
        removed = self._put_listed(b"".join(made.values()) if self._records is None else None)
        for key in removed:
            self._contents.objects.remove(key)
        if changed:
            self._commit_anew(changed)
        repaired = tuple(sorted(self._damaged - set(removed)))
        return RepairReport(repaired, tuple(removed), tuple(self._hit), identical=not changed)

    def _hit_shards(self) -> list[int]:
        """Shards with a damaged object."""
        prefixes = [f"{PART}/{array.name}/c/" for array in self._plan.arrays]
        found = {
            key.removeprefix(prefix).split("/")[0]
            for key in self._damaged
            for prefix in prefixes
            if key.startswith(prefix)
        }
        shards = {int(shard) for shard in found if shard.isdigit()}
        return sorted(shard for shard in shards if shard < self._plan.grid.shard_count)

    def _remake(self, shard: int) -> bytes:
        """Make a shard again; its damaged objects are put if they come out as they were."""
        start, stop = self._plan.grid.shard_rows(shard)
        made, facts = self._compress(self._job.batches(start, stop), stop - start)
        for name, sidecar in self._job.sidecars.items():
            array = self._plan.array(f"{SIDECARS}/{name}")
            key = f"{PART}/{array.key(shard)}"
            kept = key not in self._damaged and self._records is not None
            rows = self._stored(array.name, shard) if kept else sidecar.read(start, stop)
            made[array.name] = array.encode_shard(rows)
        record = self._writer.record(shard, made, facts)
        self._check_source(shard, record)
        if self._records is None or record == self._records[shard].tobytes():
            for array in self._plan.arrays:
                key = f"{PART}/{array.key(shard)}"
                if key in self._damaged and array.name in made:
                    self._contents.objects.put(key, made[array.name].content)
        return record

    def _stored(self, name: str, shard: int) -> NDArray[Any]:
        """The rows of an undamaged sidecar, as they lie in the store."""
        rows = self._contents.read_chunk(name, shard, 0)
        return rows[: self._plan.grid.shard_size(shard)]

    def _check_source(self, shard: int, record: bytes) -> None:
        """Refuse data that differ where the fingerprint didn't look."""
        if self._records is None:
            return
        made = np.frombuffer(record, self._records.dtype)[0]
        if bytes(made["source_xxh3_128"]) != bytes(self._records[shard]["source_xxh3_128"]):
            start, stop = self._plan.grid.shard_rows(shard)
            raise InvalidInput(
                f"{self._job.source.name}: samples {start} to {stop - 1} are not those that "
                f"{self._contents.objects} was made of"
            )

    def _changed(self, made: Mapping[int, bytes]) -> list[int]:
        """Shards that come out otherwise than they were."""
        records = self._contents.ledger
        return [shard for shard, record in made.items() if record != records[shard].tobytes()]

    def _put_listed(self, ledger: bytes | None) -> list[str]:
        """Put the damaged objects that the head lists; the names of those that nothing lists.

        Raises:
            CorruptStore: one doesn't come out as it was.
        """
        listed = self._contents.head.objects
        remade = expected_objects(self._plan, ledger)
        for key in sorted(self._damaged & listed.keys()):
            content = remade.get(key, b"")
            if (len(content), hashlib.sha256(content).hexdigest()) != listed[key]:
                raise CorruptStore(
                    f"{self._contents.objects}: {key} can't be made again as it was; "
                    f"pass the codec (--codec), or compress the data again with --overwrite"
                )
            self._contents.objects.put(key, content)
        shards = {
            f"{PART}/{array.key(shard)}"
            for array in self._plan.arrays
            for shard in range(self._plan.grid.shard_count)
        }
        return sorted(self._damaged - listed.keys() - shards)

    def _commit_anew(self, changed: list[int]) -> None:
        """Take the store back to being written, and do these shards as a job does them."""
        records = self._contents.ledger
        kept = {
            shard: record.tobytes() for shard, record in enumerate(records) if shard not in changed
        }
        writer = StoreWriter.reopen(self._contents.objects, self._plan, self._contents.head, kept)
        for shard in changed:
            start, stop = self._plan.grid.shard_rows(shard)
            made, facts = self._compress(self._job.batches(start, stop), stop - start)
            made |= encode_sidecars(self._plan, self._job.sidecars, start, stop)
            writer.commit(shard, made, facts)
        writer.seal()


def _codec(
    contents: StoreContents, given: Codec | str | os.PathLike[str] | None, device: str
) -> Codec:
    """The codec that the store was written with."""
    if given is None:
        return Codec(contents.codec_files, device)
    codec = (given if isinstance(given, Codec) else Codec.load(given, device)).on(device)
    if codec.digest != contents.head.codec:
        raise InvalidInput(
            f"{contents.objects}: was written with the codec {contents.head.codec[:12]}…, "
            f"not with {codec.digest[:12]}…"
        )
    return codec


def _sidecars(
    contents: StoreContents, given: Mapping[str, Any] | Sequence[Any] | None, samples: int
) -> dict[str, Sidecar | LostSidecar]:
    """The sidecars that were given, and stand-ins for the rest."""
    opened: dict[str, Sidecar | LostSidecar] = dict(open_sidecars(given, samples))
    for name in contents.head.fingerprint["sidecars"]:
        if name not in opened:
            array = contents.arrays[f"{SIDECARS}/{name}"]
            kept = SidecarFormat(array.item_shape, array.dtype, array.attributes)
            opened[name] = LostSidecar(name, kept)
    return opened


def _job(
    contents: StoreContents,
    source: Source,
    codec: Codec,
    sidecars: Mapping[str, Sidecar | LostSidecar],
) -> CompressionJob:
    """The job that wrote the store, as its fingerprint has it."""
    check_fit(source, codec)
    wanted = contents.head.fingerprint
    if identify(source) != wanted["data"]:
        raise InvalidInput(f"{source.name}: is not the data that {contents.objects} was made of")
    guarantee = Guarantee.from_json(wanted["guarantee"])
    return CompressionJob(
        store=contents.objects,
        source=source,
        sidecars=sidecars,
        identity={name: wanted[name] for name in ("data", "sidecars")},
        codec=codec,
        guarantee=guarantee,
        survey=survey_under(source, guarantee),
        step=wanted["step"],
        keep_latents=wanted["keep_latents"],
        keep_encoder=wanted["keep_encoder"],
        portable=wanted["portable"],
        sizes=(wanted["chunk_samples"], wanted["shard_samples"]),
        batch=codec.batch_samples,
        workers=1,
    )
