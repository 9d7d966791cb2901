"""Verification: read everything, compare it with the digests and, if given, with the data."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from engine.codec.files import DECODER
from engine.errors import CorruptStore, EngineError, GuaranteeViolated
from engine.limits import DEFAULT_MEMORY_LIMIT
from engine.quality import encode_errors
from engine.reading.certification import certify_store, store_certificate
from engine.reading.deviation import deviations, violations
from engine.reading.store import Store
from engine.runtime.codec import batch_samples, batches
from engine.sources import Source, open_source
from engine.store.inspection import inspect, printable
from engine.store.plan import LATENTS, QUALITY

# Another machine's decoder may differ in the last bits, and so move an error by one code.
_CODE_TOLERANCE = 1


@dataclass(frozen=True)
class Verification:
    """What verification found: `problems` names every damaged object, one line each.

    `drift` is how far this device decodes from the certificate's reference and `accepted_drift`
    how far it may, in the samples' units; None where the store's guarantee needs neither.
    """

    problems: tuple[str, ...]
    objects_checked: int
    samples_compared: int
    drift: float | None = None
    accepted_drift: float | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


def verify(
    store: str | os.PathLike[str],
    *,
    against: Any = None,
    key: str | None = None,
    device: str = "auto",
    max_memory_bytes: int = DEFAULT_MEMORY_LIMIT,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Check every object of a store, the device, and the guarantee against the original data.

    Args:
        store: path of a store.
        against: the data that was compressed, a path or an array-like.
        key: which array of an `.npz` file or Zarr group `against` is.
        device: where to decode: `auto`, `cpu` or `cuda`.
        max_memory_bytes: largest allocation that what lies in the store may ask for.
        progress: called with what is done and what there is in all, objects and then samples.

    Raises:
        InvalidInput: no store there, or `against` can't be read.
        IncompatibleStore: a later version of the engine wrote the store.
        IncompleteStore: the job that writes the store has not ended.
        DeviceUnavailable: `device` can't run networks here.
    """
    try:
        opened = Store(store, device, max_memory_bytes=max_memory_bytes, certify=False)
    except CorruptStore as error:
        return Verification((str(error),), 0, 0)
    inspection = inspect(opened.contents, progress)
    problems = [f"{printable(name)}: {problem}" for name, problem in inspection.problems.items()]
    drift, accepted = _drift(opened, problems)
    compared = 0
    if against is not None:
        with open_source(against, key=key) as source:
            for shard_problems, count in _compared(opened, source):
                problems += shard_problems
                compared += count
                if progress is not None:
                    progress(compared, len(opened))
    return Verification(tuple(problems), inspection.checked, compared, drift, accepted)


def _drift(store: Store, problems: list[str]) -> tuple[float | None, float | None]:
    """How far this device drifts and may drift; what is wrong with that joins `problems`."""
    try:
        certificate = store_certificate(store.contents)
        if certificate is None:
            return None, None
        return certify_store(store.contents, store.codec), certificate.accepted
    except GuaranteeViolated as error:
        problems.append(str(error))
    except CorruptStore as error:
        if not problems:  # else it is named there
            problems.append(str(error))
    return None, None


def _compared(store: Store, source: Source) -> Iterator[tuple[list[str], int]]:
    try:
        expected, found = f"{store.codec.dtype} {store.shape}", f"{source.dtype} {source.shape}"
        if any(mode.needs_network for mode in store.contents.modes):
            store.codec.files.role(DECODER)
        certificate = store_certificate(store.contents)
    except EngineError as error:
        yield [f"the samples can't be compared: {error}"], 0
        return
    if found != expected:
        yield [f"{source.name}: holds {found}, the store {expected}"], 0
        return
    # How far an accepted reader's errors may lie from those that the writer recorded.
    room = 0.0 if certificate is None else certificate.room
    grid = store.contents.arrays[LATENTS].grid
    for shard in range(grid.shard_count):
        start, stop = grid.shard_rows(shard)
        try:
            problem = _compare_shard(store, source, shard, start, stop, room)
        except EngineError as error:
            problem = str(error)
        yield (
            ([f"shard {shard} (samples {start} to {stop - 1}): {problem}"] if problem else []),
            (stop - start),
        )


def _compare_shard(
    store: Store, source: Source, shard: int, start: int, stop: int, room: float
) -> str | None:
    contents = store.contents
    digest = xxhash.xxh3_128()
    recorded = contents.read_chunk(QUALITY, shard, 0) if QUALITY in contents.arrays else None
    room = room if contents.mode(shard).needs_network else 0.0
    worse, broken = 0, 0
    for first, last in batches(stop - start, batch_samples(source.sample_shape)):
        samples = source.read(start + first, start + last)
        digest.update(samples.data)
        decoded = store.read(np.arange(start + first, start + last))
        errors = deviations(decoded, samples)
        broken += int(violations(decoded, samples, errors, store.guarantee).sum())
        if recorded is not None:
            worse += _worse(errors, recorded[first:last], store, room)
    if digest.digest() != bytes(contents.ledger[shard]["source_xxh3_128"]):
        return "the data differ from what was compressed"
    if broken:
        return f"{broken} samples break the guarantee ({store.guarantee})"
    return f"{worse} samples decode worse than recorded" if worse else None


def _worse(
    errors: NDArray[np.float64], recorded: NDArray[np.uint8], store: Store, room: float
) -> int:
    """How many samples have errors `(2, n)` beyond the codes recorded for them and the room."""
    errors = np.stack([errors[0], np.sqrt(errors[1] / math.prod(store.shape[1:]))]) - room
    codes = encode_errors(errors.clip(0), store.contents.error_levels).astype(int).T
    return int((codes > recorded.astype(int) + _CODE_TOLERANCE).any(axis=1).sum())
