"""Unpacking of compressed data into an unlinked temporary file, so that it can be mapped."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, Protocol

from engine.errors import InvalidInput, StorageError, one_line

_CHUNK_BYTES = 1 << 20


class ByteStream(Protocol):
    """What is read from the front to the back."""

    def read(self, size_bytes: int, /) -> bytes:
        """Return up to `size_bytes`, none at the end."""


@contextmanager
def spooled(stream: ByteStream, size_bytes: int, where: object) -> Iterator[BinaryIO]:
    """Copy the next `size_bytes` of a decompressing stream into a temporary file, and yield it.

    The file has no name: it vanishes once every descriptor of it is closed.

    Raises:
        InvalidInput: the stream ends early.
        StorageError: the temporary file can't be written.
    """
    with tempfile.TemporaryFile(buffering=0) as file:
        for chunk in _chunks(stream, size_bytes, where):
            _write(file, chunk, size_bytes, where)
        yield file


def _chunks(stream: ByteStream, size_bytes: int, where: object) -> Iterator[bytes]:
    left_bytes = size_bytes
    while left_bytes:
        chunk = stream.read(min(_CHUNK_BYTES, left_bytes))
        if not chunk:
            raise InvalidInput(
                f"{where}: truncated, expected {size_bytes} bytes of elements, "
                f"found {size_bytes - left_bytes}; copy or write the file again"
            )
        left_bytes -= len(chunk)
        yield chunk
    stream.read(1)  # the checksum is only verified by a read that meets the end


def _write(file: IO[bytes], chunk: bytes, size_bytes: int, where: object) -> None:
    left = memoryview(chunk)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise StorageError(
            f"{where}: can't be unpacked, which takes {size_bytes} bytes in "
            f"{tempfile.gettempdir()} ({one_line(error)}); set TMPDIR to a disk with more room"
        ) from error
