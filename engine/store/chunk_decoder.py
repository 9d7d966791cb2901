"""What decodes the chunks of an array, whichever way they were coded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray


class ChunkDecoder(Protocol):
    """Decodes chunks of one shape `(chunk_samples, *item_shape)`; damage is a CorruptStore."""

    def decode(self, content: bytes, where: str) -> NDArray[Any]:
        """The values of a chunk; `where` names it in errors."""

    def decode_run(
        self, contents: Sequence[bytes], where: Callable[[int], str], rows: NDArray[Any]
    ) -> None:
        """Write the values of chunks, one after the other, to C-contiguous `rows` `(n, ...)`.

        `where` names the chunk at a place of `contents`.
        """


class OneByOne:
    """A decoder of single chunks, for runs of them."""

    def __init__(self, decode: Callable[[bytes, str], NDArray[Any]]) -> None:
        """Decode a chunk by a function; see `ChunkDecoder.decode`."""
        self.decode = decode

    def decode_run(
        self, contents: Sequence[bytes], where: Callable[[int], str], rows: NDArray[Any]
    ) -> None:
        """See `ChunkDecoder`."""
        samples = len(rows) // max(1, len(contents))
        for place, content in enumerate(contents):
            rows[place * samples :][:samples] = self.decode(content, where(place))
