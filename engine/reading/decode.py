"""Bulk decoding: a store, or some of its rows, become a `.npy` file or a plain Zarr array."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.array_output import check_output, write_array
from engine.errors import InvalidInput
from engine.limits import DEFAULT_MEMORY_LIMIT
from engine.reading.selection import select_rows, slice_rows
from engine.reading.store import Store


def decode(
    store: str | os.PathLike[str] | Store,
    out: str | os.PathLike[str],
    *,
    rows: ArrayLike | slice | str = ":",
    overwrite: bool = False,
    device: str = "auto",
    incomplete: bool = False,
    max_memory_bytes: int = DEFAULT_MEMORY_LIMIT,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, ...]:
    """Decode rows of a store into `out`, a `.npy` file or a `.zarr` folder; return its shape.

    Args:
        store: a `Store`, or the path of one.
        out: appears whole or not at all.
        rows: a slice, a list of rows, a mask, or text such as `100:200`.
        overwrite: replace what is at `out`.
        device: `auto`, `cpu` or `cuda`.
        incomplete: also decode from a store that is still being written, if `rows` are committed.
        max_memory_bytes: largest allocation that what lies in the store may ask for.
        progress: called with samples done and samples in all.

    Raises:
        InvalidInput: `out` is taken or has another ending, or the store has no such rows.
        CorruptStore: the store is damaged.
        IncompleteStore: a row was never committed, or the store is still being written.
        GuaranteeViolated: this device doesn't decode as the store's guarantee needs it.
        StorageError: the file system refused.
    """
    check_output(out, overwrite=overwrite)
    opened = store
    if not isinstance(opened, Store):
        opened = Store(opened, device, incomplete=incomplete, max_memory_bytes=max_memory_bytes)
    wanted = _wanted(parse_rows(rows) if isinstance(rows, str) else rows, len(opened))
    shape = (len(wanted), *opened.shape[1:])
    write_array(out, _decoded(opened, wanted, progress), shape, opened.dtype)
    return shape


def parse_rows(text: str) -> slice | int:
    """A slice from `start:stop` or `start:stop:step`, or a single row number.

    Raises:
        InvalidInput: it is none of these.
    """
    try:
        numbers = [int(part) if part.strip() else None for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] is not None:
        return numbers[0]
    if len(numbers) in (2, 3) and numbers[2:] != [0]:
        return slice(*numbers)
    raise InvalidInput(f"rows {text!r}: expected START:STOP, START:STOP:STEP or one row number")


def _wanted(rows: ArrayLike | slice, length: int) -> range | NDArray[np.int64]:
    if isinstance(rows, slice):
        return slice_rows(rows, length)
    try:
        return select_rows(rows, length)
    except IndexError as error:
        raise InvalidInput(str(error)) from None


def _decoded(
    store: Store,
    rows: range | NDArray[np.int64],
    progress: Callable[[int, int], None] | None,
) -> Iterator[NDArray[Any]]:
    done = 0
    with contextlib.closing(store.reader.in_blocks(rows)) as blocks:
        for block in blocks:
            yield block
            done += len(block)
            if progress is not None:
                progress(done, len(rows))
