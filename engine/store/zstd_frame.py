"""Arrays as zstd frames, and back; what a frame states is believed only once it is checked.

Format: RFC 8878. numcodecs makes a context for every call, which takes as long as decompressing a
chunk of latents, and more where threads do so at once; its library lets us keep one a thread.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np
from numcodecs import zstd
from numpy.typing import NDArray

from engine.errors import CorruptStore, one_line

_MAGIC = b"\x28\xb5\x2f\xfd"


def compress_frame(values: NDArray[Any], level: int) -> bytes:
    """The bytes of a C-contiguous array as a zstd frame, the same that numcodecs makes."""
    if _LIBRARY is not None:
        return _contexts(_LIBRARY).compress(values, level)
    content: bytes = zstd.compress(values, level)
    return content


def decompress_frame(
    content: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], where: str
) -> NDArray[Any]:
    """An array of `shape` from its zstd frame, in no more memory than that takes.

    Raises:
        CorruptStore: the bytes are damaged, or hold another number of values; `where` names them.
    """
    stated, frame_bytes = _measure_frame(content, where)
    size_bytes = dtype.itemsize
    for length in shape:
        size_bytes *= length
    if stated != size_bytes:
        raise CorruptStore(f"{where} holds {stated} bytes, expected {size_bytes}")
    if frame_bytes != len(content):
        raise CorruptStore(f"{where} is damaged (its zstd frame doesn't end where it does)")
    values = np.empty(shape, dtype)
    problem = _decompress(content, values)
    if problem is not None:
        raise CorruptStore(f"{where} is damaged ({problem})")
    return values


def _measure_frame(content: bytes, where: str) -> tuple[int, int]:
    """Content size that a zstd frame states, and the bytes that it takes (RFC 8878, 3.1.1)."""
    if content[:4] != _MAGIC or len(content) < 6:
        raise CorruptStore(f"{where} is damaged (no zstd frame)")
    descriptor = content[4]
    single_segment, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    size_field = (single_segment, 2, 4, 8)[descriptor >> 6]
    if size_field == 0:
        raise CorruptStore(f"{where} is damaged (its zstd frame doesn't state its size)")
    position = 5 + (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3]
    stated = int.from_bytes(content[position : position + size_field], "little")
    position += size_field
    last = 0
    while not last:
        header = int.from_bytes(content[position : position + 3], "little")
        last, kind, block_bytes = header & 1, header >> 1 & 3, header >> 3
        position += 3 + (1 if kind == 1 else block_bytes)
        if position > len(content):
            raise CorruptStore(f"{where} is damaged (its zstd frame is cut off)")
    return stated + 256 * (size_field == 2), position + 4 * checksum


def _load_library() -> ctypes.CDLL | None:
    """The zstd that numcodecs brings along, if this build of it can be called."""
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    try:
        library = ctypes.CDLL(zstd.__file__)
        library.ZSTD_createCCtx.restype = pointer
        library.ZSTD_createDCtx.restype = pointer
        library.ZSTD_freeCCtx.argtypes = [pointer]
        library.ZSTD_freeDCtx.argtypes = [pointer]
        library.ZSTD_compressBound.argtypes = [size]
        library.ZSTD_compressBound.restype = size
        library.ZSTD_compressCCtx.argtypes = [pointer, pointer, size, pointer, size, ctypes.c_int]
        library.ZSTD_compressCCtx.restype = size
        library.ZSTD_decompressDCtx.argtypes = [pointer, pointer, size, ctypes.c_char_p, size]
        library.ZSTD_decompressDCtx.restype = size
        library.ZSTD_isError.argtypes = [size]
        library.ZSTD_getErrorName.argtypes = [size]
        library.ZSTD_getErrorName.restype = ctypes.c_char_p
    except (AttributeError, OSError):
        return None
    return library


_LIBRARY = _load_library()


class _Contexts:
    """What zstd works with; one thread's at a time."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._compressing = library.ZSTD_createCCtx()
        self._decompressing = library.ZSTD_createDCtx()
        if not (self._compressing and self._decompressing):
            raise MemoryError("zstd has no memory for a context")
        self._room = ctypes.create_string_buffer(0)

    def compress(self, values: NDArray[Any], level: int) -> bytes:
        """A frame of `values` (C-contiguous) that states its size."""
        largest: int = self._library.ZSTD_compressBound(values.nbytes)
        if len(self._room) < largest:
            self._room = ctypes.create_string_buffer(largest)
        room = ctypes.addressof(self._room)
        size: int = self._library.ZSTD_compressCCtx(
            self._compressing, room, largest, values.ctypes.data, values.nbytes, level
        )
        if self._library.ZSTD_isError(size):
            raise MemoryError(f"zstd can't compress {values.nbytes} bytes ({self._reason(size)})")
        return ctypes.string_at(room, size)

    def decompress(self, content: bytes, values: NDArray[Any]) -> str | None:
        """Fill `values` (C-contiguous); what is wrong with `content`, or None."""
        size, target = values.nbytes, ctypes.c_char.from_buffer(values)  # type: ignore[arg-type]
        found: int = self._library.ZSTD_decompressDCtx(
            self._decompressing, ctypes.byref(target), size, content, len(content)
        )
        return None if found == size else self._reason(found)

    def _reason(self, code: int) -> str:
        reason: bytes = self._library.ZSTD_getErrorName(code)
        return reason.decode()

    def __del__(self) -> None:
        if hasattr(self, "_room"):
            self._library.ZSTD_freeCCtx(self._compressing)
            self._library.ZSTD_freeDCtx(self._decompressing)


_of_thread = threading.local()


def _contexts(library: ctypes.CDLL) -> _Contexts:
    """Those of the calling thread."""
    try:
        contexts: _Contexts = _of_thread.contexts
    except AttributeError:
        contexts = _of_thread.contexts = _Contexts(library)
    return contexts


def _decompress(content: bytes, values: NDArray[Any]) -> str | None:
    """Fill `values`; what is wrong with `content`, or None."""
    if _LIBRARY is not None:
        return _contexts(_LIBRARY).decompress(content, values)
    try:
        zstd.decompress(content, values)
    except (RuntimeError, ValueError) as error:
        return one_line(error)
    return None
