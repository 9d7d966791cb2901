"""Verification: read everything, compare it with the digests and, if given, with the data."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

from engine.errors import CorruptStore, EngineError
from engine.quality import encode_errors
from engine.reading.store import Store
from engine.runtime.codec import batches
from engine.runtime.error_statistics import error_statistics
from engine.sources import Source, open_source
from engine.store.arrays import METADATA
from engine.store.contents import StoreContents
from engine.store.plan import LATENTS, QUALITY

# Another machine's decoder may differ in the last bits, and so move an error by one code.
_CODE_TOLERANCE = 1


@dataclass(frozen=True)
class Verification:
    """What verification found: `problems` names every damaged object, one line each."""

    problems: tuple[str, ...]
    objects_checked: int
    samples_compared: int

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
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Check every object of a store, and its recorded quality against the original data.

    Args:
        store: path of a store.
        against: the data that was compressed, a path or an array-like.
        key: which array of an `.npz` file or Zarr group `against` is.
        device: where to decode: `auto`, `cpu` or `cuda`.
        progress: called with samples done and samples in all.

    Raises:
        InvalidInput: no store there, or `against` can't be read.
        IncompatibleStore: a later version of the engine wrote the store.
        IncompleteStore: the job that writes the store has not ended.
    """
    try:
        opened = Store(store, device)
    except CorruptStore as error:
        return Verification((str(error),), 0, 0)
    problems, checked = _check_objects(opened.contents)
    compared = 0
    if against is not None:
        with open_source(against, key=key) as source:
            for shard_problems, count in _compared(opened, source):
                problems += shard_problems
                compared += count
                if progress is not None:
                    progress(compared, len(opened))
    return Verification(tuple(problems), checked, compared)


def _check_objects(contents: StoreContents) -> tuple[list[str], int]:
    """Problems of the objects of a store, and how many were checked, the head among them."""
    expected = dict(contents.head.objects)
    problems = list(_damaged(contents, expected))
    try:
        shards = contents.expected_shard_objects()
    except CorruptStore as error:
        return [*problems, f"the shards can't be checked: {error}"], len(expected) + 1
    problems += _damaged(contents, shards)
    found = set(contents.objects.keys()) - {METADATA}
    surplus = sorted(found - expected.keys() - shards.keys())
    problems += [f"{key}: surplus (the store doesn't list it)" for key in surplus]
    return problems, len(expected) + len(shards) + 1


def _damaged(contents: StoreContents, expected: dict[str, tuple[int, str]]) -> Iterator[str]:
    for key, (size, sha256) in sorted(expected.items()):
        found = contents.objects.size_of(key)
        if found is None:
            yield f"{key}: missing"
        elif found != size:
            yield f"{key}: expected {size} bytes, found {found}"
        elif hashlib.sha256(contents.objects.get(key)).hexdigest() != sha256:
            yield f"{key}: damaged (its digest is wrong)"


def _compared(store: Store, source: Source) -> Iterator[tuple[list[str], int]]:
    try:
        expected, found = f"{store.codec.dtype} {store.shape}", f"{source.dtype} {source.shape}"
    except EngineError as error:
        yield [f"the samples can't be compared: {error}"], 0
        return
    if found != expected:
        yield [f"{source.name}: holds {found}, the store {expected}"], 0
        return
    grid = store.contents.arrays[LATENTS].grid
    for shard in range(grid.shard_count):
        start, stop = grid.shard_rows(shard)
        try:
            problem = _compare_shard(store, source, shard, start, stop)
        except EngineError as error:
            problem = str(error)
        yield (
            ([f"shard {shard} (samples {start} to {stop - 1}): {problem}"] if problem else []),
            (stop - start),
        )


def _compare_shard(store: Store, source: Source, shard: int, start: int, stop: int) -> str | None:
    contents = store.contents
    digest = xxhash.xxh3_128()
    recorded = contents.read_chunk(QUALITY, shard, 0)
    worse = 0
    for first, last in batches(stop - start, store.codec.batch_samples):
        samples = source.read(start + first, start + last)
        digest.update(samples.data)
        rows = np.arange(start + first, start + last)
        decoded = store.codec.reconstruct(store.read_integer_latents(rows), store.step)
        errors = np.empty((2, len(samples)))
        error_statistics(
            decoded.reshape(len(samples), -1), samples.reshape(len(samples), -1), *errors
        )
        errors[1] = np.sqrt(errors[1] / math.prod(source.sample_shape))
        codes = encode_errors(errors, contents.error_levels).astype(int).T
        worse += int((codes > recorded[first:last].astype(int) + _CODE_TOLERANCE).any(axis=1).sum())
    if digest.digest() != bytes(contents.ledger[shard]["source_xxh3_128"]):
        return "the data differ from what was compressed"
    return f"{worse} samples decode worse than recorded" if worse else None
