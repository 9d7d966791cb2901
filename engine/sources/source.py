"""What every source of samples promises, whatever it reads from."""

import math
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engine.errors import InvalidInput, StorageError, one_line


class Source(ABC):
    """A dataset that is read by ranges of rows, one row a sample.

    `shape` is (samples, *sample_shape), `dtype` is in native byte order, and `name` says in
    messages which dataset is meant ("images.npy").
    """

    def __init__(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.name = name
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.shape[1:]

    @property
    def sample_bytes(self) -> int:
        """Size of one sample in memory."""
        return math.prod(self.sample_shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return the rows [start, stop), shape (stop - start, *sample_shape).

        C-contiguous, aligned, in native byte order; may be read-only. Threads may read at once.

        Raises:
            IndexError: unless 0 <= start <= stop <= len(self); nothing is clamped.
            StorageError: the file system refused the read.
            InvalidInput: what is stored there is damaged.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"{self.name}: rows {start}:{stop} are not within 0:{len(self)}")
        if start == stop:
            return np.empty((0, *self.sample_shape), self.dtype)
        try:
            rows = self._rows(start, stop)
        except OSError as error:
            raise StorageError(
                f"{self.name}: rows {start}:{stop} can't be read ({one_line(error)})"
            ) from error
        if rows.dtype.newbyteorder("=") != self.dtype:
            raise InvalidInput(
                f"{self.name}: rows {start}:{stop} are {rows.dtype}, the first were {self.dtype}"
            )
        return np.require(rows, self.dtype, ["C", "A", "E"])

    @abstractmethod
    def _rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return the rows of a valid, non-empty range, in any memory layout and byte order."""

    def close(self) -> None:  # noqa: B027 - most sources hold nothing open
        """Give back what the source holds open; it can't be read afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def spread_rows(n: int, count: int) -> npt.NDArray[np.int64]:
    """Return the indices of `count` rows of `n` (or all, if fewer), even from first to last."""
    return np.unique(np.linspace(0, n - 1, min(n, count)).round().astype(np.int64))
