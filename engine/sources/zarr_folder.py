"""Zarr arrays on disk, of version 2 or 3, alone or in a group."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import InvalidInput, one_line
from engine.sources.acceptance import Dtypes
from engine.sources.array_rows import ArrayRows
from engine.sources.naming import pick_name, refuse_key

if TYPE_CHECKING:
    import zarr

_METADATA_FILES = ("zarr.json", ".zarray", ".zgroup")
_STORE_ATTRIBUTE = "latent_store"


def is_zarr(folder: Path) -> bool:
    """Tell whether a folder is a Zarr array or group."""
    return any((folder / name).is_file() for name in _METADATA_FILES)


def open_zarr(path: Path, key: str | None, accept: Dtypes) -> ArrayRows:
    """Open a Zarr array, or the array `key` of a Zarr group.

    Raises:
        InvalidInput: the metadata is damaged, the group leaves a choice (its arrays are listed)
            or is a latent store, or the array isn't acceptable.
    """
    import zarr

    with warnings.catch_warnings(action="ignore"):  # zarr's, of string dtypes and stray files
        node = _open_node(path)
        if not isinstance(node, zarr.Group):
            refuse_key(path, key)
            return ArrayRows(path.resolve().name, node, accept)
        if key is None and _STORE_ATTRIBUTE in node.attrs:
            raise InvalidInput(f"{path}: is a latent store; read its samples with engine.open")
        arrays = _arrays(path, node)
        key = pick_name(path, key, sorted(arrays))
        return ArrayRows(f"{path.resolve().name}::{key}", arrays[key], accept)


def _open_node(path: Path) -> "zarr.Array[Any] | zarr.Group":
    import zarr

    try:
        return zarr.open(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # whatever damaged metadata provokes
        raise _damaged(path, error) from error


def _arrays(path: Path, group: "zarr.Group") -> "dict[str, zarr.Array[Any]]":
    import zarr

    try:
        members = group.members(max_depth=None)
    except OSError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error
    return {name: member for name, member in members if isinstance(member, zarr.Array)}


def _damaged(path: Path, error: Exception) -> InvalidInput:
    return InvalidInput(f"{path}: damaged Zarr metadata ({one_line(error)})")
