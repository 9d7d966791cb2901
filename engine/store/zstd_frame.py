"""Decompresses one zstd frame into an array; what the frame states is believed only once checked.

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
    try:
        library = ctypes.CDLL(zstd.__file__)
        library.ZSTD_createDCtx.restype = ctypes.c_void_p
        library.ZSTD_freeDCtx.argtypes = [ctypes.c_void_p]
        library.ZSTD_getErrorName.argtypes = [ctypes.c_size_t]
        library.ZSTD_getErrorName.restype = ctypes.c_char_p
        library.ZSTD_decompressDCtx.restype = ctypes.c_size_t
    except (AttributeError, OSError):
        return None
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    library.ZSTD_decompressDCtx.argtypes = [pointer, pointer, size, ctypes.c_char_p, size]
    return library


_LIBRARY = _load_library()


class _Context:
    """What zstd works with while it decompresses; one thread's at a time."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._pointer = library.ZSTD_createDCtx()
        if not self._pointer:
            raise MemoryError("zstd has no memory for a context")

    def decompress(self, content: bytes, values: NDArray[Any]) -> str | None:
        """Fill `values` (C-contiguous); what is wrong with `content`, or None."""
        size, target = values.nbytes, ctypes.c_char.from_buffer(values)  # type: ignore[arg-type]
        found: int = self._library.ZSTD_decompressDCtx(
            self._pointer, ctypes.byref(target), size, content, len(content)
        )
        if found == size:
            return None
        reason: bytes = self._library.ZSTD_getErrorName(found)
        return reason.decode()

    def __del__(self) -> None:
        if getattr(self, "_pointer", None):
            self._library.ZSTD_freeDCtx(self._pointer)


_of_thread = threading.local()


def _decompress(content: bytes, values: NDArray[Any]) -> str | None:
    """Fill `values`; what is wrong with `content`, or None."""
    if _LIBRARY is None:
        return _decompress_by_numcodecs(content, values)
    try:
        context: _Context = _of_thread.context
    except AttributeError:
        context = _of_thread.context = _Context(_LIBRARY)
    return context.decompress(content, values)


def _decompress_by_numcodecs(content: bytes, values: NDArray[Any]) -> str | None:
    try:
        zstd.decompress(content, values)
    except (RuntimeError, ValueError) as error:
        return one_line(error)
    return None
