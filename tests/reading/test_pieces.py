"""Rows cut into chunks and blocks, against what the grid says of each row."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.geometry import RowGrid
from engine.reading.pieces import blocks, cut, packed, shares

GRID = RowGrid(100, 4, 20)


def places(pieces):
    """(shard, chunk, offset) of every place."""
    found = {}
    for piece in pieces:
        offsets = np.arange(GRID.chunk_samples)[piece.offsets]
        for place, offset in zip(range(piece.start, piece.stop), offsets, strict=True):
            found[place] = (piece.shard, piece.chunk, int(offset))
    return [found[place] for place in sorted(found)]


runs = st.tuples(st.integers(0, 100), st.integers(0, 100)).map(lambda ends: range(*sorted(ends)))
lists = st.sets(st.integers(0, 99)).map(sorted).map(lambda rows: np.array(rows, np.int64))
strided = st.tuples(runs, st.integers(1, 9)).map(lambda drawn: drawn[0][:: drawn[1]])


@given(rows=st.one_of(runs, lists, strided))
def test_each_row_comes_from_where_it_lies(rows):
    pieces = cut(GRID, rows)
    assert places(pieces) == [GRID.locate(int(row)) for row in rows]
    assert len({(piece.shard, piece.chunk) for piece in pieces}) == len(pieces)


@given(rows=lists, count=st.integers(1, 7), every=st.integers(1, 3))
def test_shares_and_packing_keep_all_pieces(rows, count, every):
    pieces = cut(GRID, rows)
    cut_up = shares(pieces, count)
    assert [piece for share in cut_up for piece in share] == pieces
    assert len(cut_up) == min(count, len(pieces))
    kept = pieces[::every]
    assert places(packed(kept)) == [place for piece in kept for place in places([piece])]


@given(rows=st.one_of(runs, lists, strided), size=st.integers(1, 30))
def test_blocks_cover_all_rows_and_runs_are_cut_at_multiples(rows, size):
    cut_up = blocks(rows, size)
    assert [place for block in cut_up for place in range(*block)] == list(range(len(rows)))
    assert all(0 < stop - start <= size for start, stop in cut_up)
    if isinstance(rows, range) and rows.step == 1:
        assert all(rows[start] % size == 0 for start, _ in cut_up[1:])
