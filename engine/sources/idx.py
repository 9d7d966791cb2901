"""IDX files (the format of MNIST), plain or gzipped.

Format: http://yann.lecun.com/exdb/mnist; two zero bytes, one byte for the dtype, one for the
number of axes, each axis as a big-endian uint32, then the elements, big-endian, in C order.
"""

import gzip
import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InvalidInput, one_line
from engine.sources.acceptance import Dtypes, check_array
from engine.sources.mapped_rows import MappedRows, RawLayout
from engine.sources.spool import ByteStream, spooled

GZIP_MAGIC = b"\x1f\x8b"

_DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}


def is_idx(head: bytes) -> bool:
    """Tell whether a file that begins with these bytes is IDX."""
    return len(head) >= 4 and head[:2] == b"\0\0" and head[2] in _DTYPES and head[3] > 0


def open_idx(path: Path, accept: Dtypes) -> MappedRows:
    """Open the array in an IDX file.

    Raises:
        InvalidInput: the file is truncated, or its array isn't acceptable.
    """
    with path.open("rb") as file:
        layout = _read_layout(file, path)
        check_array(path, layout.shape, layout.dtype, accept)
        layout.check_complete(path, os.fstat(file.fileno()).st_size)
        return MappedRows(path.name, file, layout)


def open_gzipped_idx(path: Path, accept: Dtypes) -> MappedRows:
    """Open the array in a gzipped IDX file, unpacked once into a temporary file.

    Raises:
        InvalidInput: the file is damaged or something else, or its array isn't acceptable.
        StorageError: no room to unpack it.
    """
    try:
        with gzip.open(path, "rb") as stream:
            layout = _read_layout(stream, path)
            check_array(path, layout.shape, layout.dtype, accept)
            with spooled(stream, layout.size_bytes, path) as unpacked:
                return MappedRows(path.name, unpacked, replace(layout, offset_bytes=0))
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InvalidInput(f"{path}: damaged gzip file ({one_line(error)})") from error


def _read_layout(stream: ByteStream, path: Path) -> RawLayout:
    head = stream.read(4)
    if not is_idx(head):
        raise InvalidInput(f"{path}: expected an IDX file, found one that begins with {head!r}")
    axis_bytes = 4 * head[3]
    axes = stream.read(axis_bytes)
    if len(axes) < axis_bytes:
        raise InvalidInput(
            f"{path}: truncated, expected a header of {4 + axis_bytes} bytes, found {4 + len(axes)}"
        )
    return RawLayout(struct.unpack(f">{head[3]}I", axes), _DTYPES[head[2]], 4 + axis_bytes)
