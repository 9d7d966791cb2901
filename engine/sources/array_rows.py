"""Arrays that are already open, in this process or behind an object that slices like one."""

import mmap
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from engine.errors import EngineError, InvalidInput, one_line
from engine.sources.acceptance import Dtypes, check_dtype, check_shape
from engine.sources.mapped_rows import MappedRows, RawLayout
from engine.sources.source import Source


class SlicedArray(Protocol):
    """What NumPy, Zarr and h5py arrays, torch CPU tensors and their like have in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples, *sample_shape)."""

    @property
    def dtype(self) -> Any:
        """The dtype, in the library's own terms."""

    def __getitem__(self, rows: slice, /) -> Any:
        """Return some rows, as something that np.asarray takes."""


class ArrayRows(Source):
    """A source over an array-like; as safe to read from threads as the array-like itself."""

    def __init__(self, name: str, array: SlicedArray, accept: Dtypes) -> None:
        shape = tuple(int(length) for length in array.shape)
        check_shape(name, shape, accept)
        self._array = array
        dtype = _slice(name, array, 0, 1).dtype
        check_dtype(name, dtype, accept)
        super().__init__(name, shape, dtype)

    def _rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        return _slice(self.name, self._array, start, stop)


def open_array(data: object, accept: Dtypes) -> Source:
    """Open anything with shape, dtype and slicing, or else what np.asarray makes of it.

    Raises:
        InvalidInput: no array of numbers can be made of it.
    """
    name = type(data).__name__
    if isinstance(data, np.memmap) and (mapped := _remapped(data, name)):
        check_shape(mapped.name, mapped.shape, accept)
        check_dtype(mapped.name, mapped.dtype, accept)
        return mapped
    if isinstance(data, np.ma.MaskedArray):
        raise InvalidInput(
            f"{name}: expected plain values, found a mask; pass "
            f".filled(value), with fill_value=value where a guarantee is to keep it bit for bit"
        )
    if hasattr(data, "shape"):
        return ArrayRows(name, cast(SlicedArray, data), accept)
    if hasattr(data, "keys"):
        raise InvalidInput(f"{name}: holds arrays by name; pass one of them")
    return ArrayRows(name, _as_array(data, name), accept)


def _remapped(array: np.memmap[Any, Any], name: str) -> MappedRows | None:
    """Return a source over the file behind a whole memory map, whose own pages would pile up."""
    # A view has another base and start; copy-on-write changes are not in the file.
    base: object = array.base
    if not isinstance(base, mmap.mmap) or array.filename is None or array.mode == "c":
        return None
    path = Path(array.filename)
    if not path.is_file():
        return None
    layout = RawLayout(array.shape, array.dtype, array.offset, not array.flags.c_contiguous)
    with path.open("rb") as file:
        return MappedRows(path.name, file, layout)


def _as_array(data: object, name: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(data)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name}: expected an array-like ({one_line(error)})") from error


def _slice(name: str, array: SlicedArray, start: int, stop: int) -> npt.NDArray[Any]:
    try:
        return np.asarray(array[start:stop])
    except (EngineError, OSError, MemoryError):
        raise
    except Exception as error:  # whatever the library behind the array raises
        raise InvalidInput(
            f"{name}: rows {start}:{stop} can't be read ({one_line(error)})"
        ) from error
