"""What codes the chunks of an array, whichever way that is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Coder(Protocol):
    """Codes chunks of one shape `(chunk_samples, *item_shape)`.

    Decoding raises CorruptStore where bytes are damaged, or hold another number of values.
    """

    def encode(self, values: NDArray[Any]) -> bytes:
        """Encode the values of a chunk."""

    def decode(self, content: bytes, where: str) -> NDArray[Any]:
        """The values of a chunk; `where` names it in errors."""


class ChunkCoder(Coder, Protocol):
    """Codes chunks one after the other, too."""

    def encode_run(self, rows: NDArray[Any]) -> list[bytes]:
        """Encode the chunks that `rows` `(n, *item_shape)` make up."""

    def decode_run(
        self, contents: Sequence[bytes], where: Callable[[int], str], rows: NDArray[Any]
    ) -> None:
        """Write the values of chunks to C-contiguous `rows` `(n, *item_shape)`.

        `where` names the chunk at a place of `contents`.
        """


class OneByOne:
    """Codes runs of chunks by functions for a single one, see `ChunkCoder`."""

    def __init__(
        self,
        encode: Callable[[NDArray[Any]], bytes],
        decode: Callable[[bytes, str], NDArray[Any]],
        chunk_samples: int,
    ) -> None:
        self.encode, self.decode, self._samples = encode, decode, chunk_samples

    def encode_run(self, rows: NDArray[Any]) -> list[bytes]:
        """See `ChunkCoder`."""
        starts = range(0, len(rows), self._samples)
        return [self.encode(rows[start : start + self._samples]) for start in starts]

    def decode_run(
        self, contents: Sequence[bytes], where: Callable[[int], str], rows: NDArray[Any]
    ) -> None:
        """See `ChunkCoder`."""
        for place, content in enumerate(contents):
            rows[place * self._samples :][: self._samples] = self.decode(content, where(place))


class CodesChunks(ABC):
    """A way to code chunks of any shape."""

    @abstractmethod
    def for_chunks(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ChunkCoder:
        """What codes chunks of a shape `(chunk_samples, *item_shape)` so."""

    def encode(self, values: NDArray[Any]) -> bytes:
        """Encode the values of a chunk."""
        return self.for_chunks(values.shape, values.dtype).encode(values)

    def decode(
        self, content: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], where: str
    ) -> NDArray[Any]:
        """The values of a chunk of `shape`; `where` names it in errors.

        Raises:
            CorruptStore: the bytes are damaged, or hold another number of values.
        """
        return self.for_chunks(shape, dtype).decode(content, where)
