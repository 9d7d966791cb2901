"""Real fields that the package iris-sample-data ships, read without Iris."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_HEADER_WORDS = 64
_ROWS, _COLUMNS = 17, 18  # words of a header, counted from 0


def surface_temperatures() -> NDArray[np.float32]:
    """Monthly means `(13, 6, 145, 192)` of a seasonal forecast, GloSea4: members, months, K.

    Surface temperature on a global grid of 1.25 by 1.875 degrees, of 13 runs of one ensemble.
    """
    import iris_sample_data

    folder = Path(iris_sample_data.path, "GloSea4")
    return np.stack([read_pp(path) for path in sorted(folder.glob("ensemble_*.pp"))])


def read_pp(path: Path) -> NDArray[np.float32]:
    """All fields `(n, rows, columns)` of a PP file that are unpacked and of one size.

    Source: Met Office, Unified Model Documentation Paper F3.
    """
    words = np.fromfile(path, ">i4")
    fields, at = [], 0
    while at < len(words):
        header = words[at + 1 : at + 1 + _HEADER_WORDS]
        shape = int(header[_ROWS]), int(header[_COLUMNS])
        at += _HEADER_WORDS + 2  # the record's length stands before it and after
        size = int(words[at]) // 4
        fields.append(words[at + 1 : at + 1 + size].view(">f4")[: shape[0] * shape[1]])
        at += size + 2
    return np.stack(fields).reshape(-1, *shape).astype(np.float32)


def cut_tiles(fields: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Tiles `(n, size, size)` of fields `(n, rows, columns)`, line by line; edges are left out."""
    count, rows, columns = fields.shape
    rows, columns = rows // size, columns // size
    cut = fields[:, : rows * size, : columns * size].reshape(count, rows, size, columns, size)
    return np.ascontiguousarray(cut.swapaxes(2, 3).reshape(-1, size, size))
