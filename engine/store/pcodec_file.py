"""Chunks as standalone pcodec files, and back.

Format: https://github.com/pcodec/pcodec/blob/main/docs/format.md
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptStore, one_line


def compress_file(values: NDArray[Any], level: int) -> bytes:
    """The values of an array, in C order, as a file of their own."""
    from pcodec import standalone

    flat = np.ascontiguousarray(values, values.dtype.newbyteorder("=")).reshape(-1)
    content: bytes = standalone.simple_compress(flat, _config(level, flat.dtype))
    return content


def decompress_file(
    content: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], where: str
) -> NDArray[Any]:
    """An array of `shape` from its file, in no more memory than that takes.

    Raises:
        CorruptStore: the bytes are damaged, or hold another number of values; `where` names them.
    """
    from pcodec import standalone

    values = np.empty(math.prod(shape), dtype.newbyteorder("="))
    try:
        progress = standalone.simple_decompress_into(content, values)
    except (RuntimeError, TypeError) as error:
        raise CorruptStore(f"{where} is damaged ({one_line(error)})") from None
    if progress.n_processed != values.size or not progress.finished:
        raise CorruptStore(f"{where} doesn't hold {values.size} values of {dtype}")
    return values.reshape(shape)


def _config(level: int, dtype: np.dtype[Any]) -> Any:
    """Integers come as they are best coded; of floats pcodec looks for the structure."""
    from pcodec import ChunkConfig, DeltaSpec, ModeSpec

    if dtype.kind == "f":
        return ChunkConfig(compression_level=level)
    return ChunkConfig(
        compression_level=level,
        mode_spec=ModeSpec.classic(),
        delta_spec=DeltaSpec.no_op(),
        enable_8_bit=True,
    )
