"""Writes a stream of rows as a `.npy` file or a plain Zarr array, which appears whole or not."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from engine.direct_file import DirectFile
from engine.errors import InvalidInput, StorageError
from engine.staging import staged

_ZARR_CHUNK_BYTES = 1024 * 1024


def check_output(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Refuse a path that can't be written, before any work is spent on it.

    Raises:
        InvalidInput: it is taken, or ends in something else than `.npy` or `.zarr`.
        StorageError: the file system refused to look.
    """
    target = Path(path)
    if target.suffix not in (".npy", ".zarr"):
        raise InvalidInput(f"{target}: the output must end in .npy or .zarr")
    try:
        if not target.exists():
            return
    except OSError as error:
        raise StorageError(f"{target}: can't be looked up: {error.strerror}") from None
    if not (_is_zarr_array(target) if target.suffix == ".zarr" else target.is_file()):
        raise InvalidInput(f"{target}: exists and is not an array; choose another path")
    if not overwrite:
        raise InvalidInput(f"{target}: exists; pass --overwrite to replace it")


def write_array(
    path: str | os.PathLike[str],
    blocks: Iterator[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> None:
    """Write `blocks` of rows, which make up `shape`, to a path that `check_output` let through.

    Raises:
        StorageError: the file system refused; nothing is left behind.
    """
    write = _write_npy if Path(path).suffix == ".npy" else _write_zarr
    with staged(path) as made:
        write(made, blocks, shape, dtype)


def _write_npy(
    path: Path, blocks: Iterator[NDArray[Any]], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    header = io.BytesIO()
    described = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_2_0(header, described)
    with DirectFile(path) as file:
        file.write(np.frombuffer(header.getbuffer(), np.uint8))
        for block in blocks:
            file.write(block)


def _write_zarr(
    path: Path, blocks: Iterator[NDArray[Any]], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    import zarr

    row_bytes = int(np.prod(shape[1:])) * dtype.itemsize
    chunk = max(1, min(max(1, shape[0]), _ZARR_CHUNK_BYTES // row_bytes))
    array = zarr.create_array(path, shape=shape, chunks=(chunk, *shape[1:]), dtype=dtype)
    done = 0
    for block in blocks:
        array[done : done + len(block)] = block
        done += len(block)


def _is_zarr_array(path: Path) -> bool:
    """Whether a plain array lies at `path`, and not a group such as a latent store."""
    try:
        document = json.loads((path / "zarr.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("node_type") == "array"
