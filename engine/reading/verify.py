"""Verification: read everything, compare it with the digests and, if given, with the data."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import CorruptStore, EngineError, IncompatibleStore, IncompleteStore
from engine.quality import encode_errors, error_levels
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
        IncompleteStore: the job that writes the store has not ended.
    """
    try:
        opened = Store(store, device)
        names = opened.contents.expected_shard_objects()
    except (IncompleteStore, IncompatibleStore):
        raise
    except CorruptStore as error:
        return Verification((str(error),), 0, 0)
    expected = {**opened.contents.head.objects, **names}
    problems = list(_damaged(opened.contents, expected))
    compared = 0
    if against is not None:
        with open_source(against, key=key) as source:
            for shard_problems, count in _compared(opened, source):
                problems += shard_problems
                compared += count
                if progress is not None:
                    progress(compared, len(opened))
    return Verification(tuple(problems), len(expected) + 1, compared)


def _damaged(contents: StoreContents, expected: dict[str, tuple[int, str]]) -> Iterator[str]:
    found = set(contents.objects.keys())
    for key, (size, sha256) in sorted(expected.items()):
        if key not in found:
            yield f"{key}: missing"
            continue
        content = contents.objects.get(key)
        if len(content) != size:
            yield f"{key}: expected {size} bytes, found {len(content)}"
        elif hashlib.sha256(content).hexdigest() != sha256:
            yield f"{key}: damaged (its digest is wrong)"
    for key in sorted(found - expected.keys() - {METADATA}):
        yield f"{key}: surplus (the store doesn't list it)"


def _compared(store: Store, source: Source) -> Iterator[tuple[list[str], int]]:
    if source.shape != store.shape or source.dtype != store.dtype:
        found, expected = f"{source.dtype} {source.shape}", f"{store.dtype} {store.shape}"
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
    digest = hashlib.sha256()
    recorded = contents.read_chunk(QUALITY, shard, 0)
    levels = error_levels(float(contents.arrays[QUALITY].attributes["unit"]))
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
        codes = encode_errors(errors, levels).astype(int).T
        worse += int((codes > recorded[first:last].astype(int) + _CODE_TOLERANCE).any(axis=1).sum())
    if digest.digest() != bytes(contents.ledger[shard]["source_sha256"]):
        return "the data differ from what was compressed"
    return f"{worse} samples decode worse than recorded" if worse else None
