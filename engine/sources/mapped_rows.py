"""Rows that lie uncompressed in a file: mapped block by block, never kept resident.

The resident pages of a long-lived mapping count as this process's memory and grow with what was
read. So each read maps its own rows afresh, and the mapping goes when the array is dropped.
"""

import math
import mmap
import os
import weakref
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from engine.errors import InvalidInput, StorageError
from engine.sources.source import Source

_COLUMN_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class RawLayout:
    """How the elements of one array lie in a file, from `offset_bytes` on."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset_bytes: int = 0
    fortran_order: bool = False

    @property
    def size_bytes(self) -> int:
        """The bytes that the elements take."""
        return math.prod(self.shape) * self.dtype.itemsize

    def check_complete(self, where: object, found_bytes: int) -> None:
        """Refuse a file that is shorter than its header says.

        Raises:
            InvalidInput: gives both sizes in bytes.
        """
        expected_bytes = self.offset_bytes + self.size_bytes
        if found_bytes < expected_bytes:
            raise InvalidInput(
                f"{where}: truncated, expected {expected_bytes} bytes, found {found_bytes}; "
                "copy or write the file again"
            )


class MappedRows(Source):
    """A source over the raw elements in a file; it keeps the file open by a descriptor."""

    def __init__(self, name: str, file: BinaryIO, layout: RawLayout) -> None:
        super().__init__(name, layout.shape, layout.dtype)
        self._layout = layout
        self._descriptor = os.dup(file.fileno())
        self._close = weakref.finalize(self, os.close, self._descriptor)

    def close(self) -> None:
        """Close the file; arrays that were read stay valid."""
        self._close()

    def _rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        if self._layout.fortran_order:
            return self._rows_across_columns(start, stop)
        row_elements = math.prod(self.sample_shape)
        rows = self._elements(start * row_elements, stop * row_elements)
        return rows.reshape(stop - start, *self.sample_shape)

    def _rows_across_columns(self, start: int, stop: int) -> npt.NDArray[Any]:
        # In Fortran order the file is a list of columns: one element of the sample, of all rows.
        # They are mapped a few at a time, as each touches a page or more of the whole file.
        n, column_count = len(self), math.prod(self.sample_shape)
        block = max(1, _COLUMN_BLOCK_BYTES // (n * self.dtype.itemsize))
        columns = np.empty((column_count, stop - start), self.dtype)
        for first in range(0, column_count, block):
            last = min(first + block, column_count)
            mapped = self._elements(first * n, last * n).reshape(-1, n)
            columns[first:last] = mapped[:, start:stop]
        return columns.reshape(*reversed(self.sample_shape), stop - start).T

    def _elements(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Map the elements [start, stop) of the file, in its own order."""
        self._check_readable()
        dtype = self._layout.dtype
        first_byte = self._layout.offset_bytes + start * dtype.itemsize
        lead = first_byte % mmap.ALLOCATIONGRANULARITY
        mapping = mmap.mmap(
            self._descriptor,
            lead + (stop - start) * dtype.itemsize,
            access=mmap.ACCESS_READ,
            offset=first_byte - lead,
        )
        return np.frombuffer(mapping, dtype, stop - start, lead)

    def _check_readable(self) -> None:
        if not self._close.alive:
            raise ValueError(f"{self.name}: read after close")
        expected_bytes = self._layout.offset_bytes + self._layout.size_bytes
        found_bytes = os.fstat(self._descriptor).st_size
        # Touching a page beyond the end of a file would kill the process with SIGBUS.
        if found_bytes < expected_bytes:
            raise StorageError(
                f"{self.name}: the file shrank while it was read, "
                f"expected {expected_bytes} bytes, found {found_bytes}"
            )
