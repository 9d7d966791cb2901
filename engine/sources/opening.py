"""The one way in: find out what kind of data it is, by content before name, and open it."""

import os
from pathlib import Path
from typing import TypeAlias

import numpy.typing as npt

from engine.errors import InvalidInput, StorageError, one_line
from engine.sources import npy, npz
from engine.sources.acceptance import Dtypes
from engine.sources.array_rows import SlicedArray, open_array
from engine.sources.idx import GZIP_MAGIC, is_idx, open_gzipped_idx, open_idx
from engine.sources.image_folder import ImageFolder
from engine.sources.naming import refuse_key
from engine.sources.source import Source
from engine.sources.zarr_folder import is_zarr, open_zarr

Data: TypeAlias = str | os.PathLike[str] | Source | SlicedArray | npt.ArrayLike
"""What the engine takes as data: a path, an array-like, or a source that is open already."""

_HEAD_BYTES = 6


def open_source(data: Data, key: str | None = None, dtypes: Dtypes = "numbers") -> Source:
    """Open a dataset, axes (samples, *sample_shape), to be read by ranges of rows.

    `data` is a path to a .npy, .npz or IDX file (also .gz), to a Zarr array or group or to a
    folder of images; an array-like; or a Source, which is returned as it is. `key`, or "::name"
    after the path, picks one array of a .npz file or Zarr group. `dtypes` "any" also takes what
    sidecars hold: one axis, bool, fixed-width strings.

    Raises:
        InvalidInput: there is no such dataset, it is damaged, or it can't be used as it is.
        StorageError: the file system refused to open it, or to unpack it.
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, str | os.PathLike):
        try:
            return _open_path(*_split(Path(data), key), dtypes)
        except OSError as error:
            raise StorageError(f"{data}: can't be read ({one_line(error)})") from error
    refuse_key(type(data).__name__, key)
    return open_array(data, dtypes)


def _split(path: Path, key: str | None) -> tuple[Path, str | None]:
    """Split "file::name", unless a file of that very name exists."""
    before, separator, name = str(path).partition("::")
    if key is not None or not separator or path.exists():
        return path, key
    return Path(before), name


def _open_path(path: Path, key: str | None, dtypes: Dtypes) -> Source:
    if path.is_file():
        return _open_file(path, key, dtypes)
    if not path.is_dir():
        found = "something else" if path.exists() else "nothing of that name"
        raise InvalidInput(f"{path}: expected a file or a folder, found {found}")
    if is_zarr(path):
        return open_zarr(path, key, dtypes)
    refuse_key(path, key)
    return ImageFolder(path)


def _open_file(path: Path, key: str | None, dtypes: Dtypes) -> Source:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(npz.MAGIC):
        return npz.open_npz(path, key, dtypes)
    refuse_key(path, key)
    if head.startswith(npy.MAGIC):
        return npy.open_npy(path, dtypes)
    if head.startswith(GZIP_MAGIC):
        return open_gzipped_idx(path, dtypes)
    if is_idx(head):
        return open_idx(path, dtypes)
    raise _unknown(path, head)


def _unknown(path: Path, head: bytes) -> InvalidInput:
    found = f"a {path.suffix or 'nameless'} file that begins with {head!r}" if head else "0 bytes"
    return InvalidInput(
        f"{path}: expected .npy, .npz, IDX (also .gz), a Zarr array or a folder of images; "
        f"found {found}"
    )
