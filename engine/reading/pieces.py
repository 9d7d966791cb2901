"""How rows fall into chunks: what is read once, and where its rows go. Pure planning, no I/O."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.geometry import RowGrid


class Piece(NamedTuple):
    """Rows of one chunk: `offsets` within the chunk go to the places `start` to `stop - 1`."""

    shard: int
    chunk: int
    offsets: slice | NDArray[np.int64]
    start: int
    stop: int


def cut(grid: RowGrid, rows: range | NDArray[np.int64]) -> list[Piece]:
    """The chunks that hold `rows`, which are distinct and ordered within each chunk."""
    if isinstance(rows, range) and rows.step == 1:
        return _cut_run(grid, rows)
    chunk_of, offsets = np.divmod(np.asarray(rows), grid.chunk_samples)
    starts = np.flatnonzero(np.diff(chunk_of, prepend=-1))
    stops = np.append(starts, len(rows))[1:]
    firsts, lasts = offsets[starts], offsets[stops - 1] + 1
    columns: list[list[Any]] = [
        column.tolist() for column in (chunk_of[starts], firsts, lasts, starts, stops)
    ]
    pieces = []
    for chunk, first, last, start, stop in zip(*columns, strict=True):
        shard, within = divmod(chunk, grid.chunks_per_shard)
        whole = last - first == stop - start
        picked = slice(first, last) if whole else offsets[start:stop]
        pieces.append(Piece(shard, within, picked, start, stop))
    return pieces


def _cut_run(grid: RowGrid, rows: range) -> list[Piece]:
    """`cut` for rows without gaps."""
    pieces, row = [], rows.start
    while row < rows.stop:
        shard, chunk, offset = grid.locate(row)
        start = row - rows.start
        stop = min(start + grid.chunk_samples - offset, len(rows))
        pieces.append(Piece(shard, chunk, slice(offset, offset + stop - start), start, stop))
        row = rows.start + stop
    return pieces


def shares(pieces: list[Piece], count: int) -> list[list[Piece]]:
    """Cut into `count` runs of nearly as many pieces, or fewer where there are fewer pieces."""
    bounds = [round(share * len(pieces) / count) for share in range(count + 1)]
    runs = (pieces[start:stop] for start, stop in itertools.pairwise(bounds))
    return [run for run in runs if run]


def packed(pieces: list[Piece]) -> list[Piece]:
    """The same rows of the same chunks, one right after the other from place 0."""
    stops = list(itertools.accumulate(piece.stop - piece.start for piece in pieces))
    starts = [0, *stops][:-1]
    return [
        piece._replace(start=start, stop=stop)
        for piece, start, stop in zip(pieces, starts, stops, strict=True)
    ]


def blocks(rows: range | NDArray[np.int64], size: int) -> list[tuple[int, int]]:
    """Cut `rows` into runs of at most `size`; rows without gaps at multiples of it."""
    first = rows.start % size if isinstance(rows, range) and rows.step == 1 else 0
    bounds = [0, *range(size - first, len(rows), size), len(rows)]
    return list(itertools.pairwise(bounds)) if len(rows) else []
