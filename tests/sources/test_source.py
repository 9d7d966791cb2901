"""The laws that every kind of source keeps."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engine.sources import Source, open_source, spread_rows

from .writers import KINDS

ROWS = 23
RANGES = [(0, 1), (0, ROWS), (2, 3), (1, 8), (7, 22), (ROWS - 1, ROWS), (0, 0), (ROWS, ROWS)]


def reference(dtype):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (ROWS, 5, 7)).astype(dtype)


def dtypes_of(kind):
    narrow = {"images": ["u1", "u2"], "idx": ["u1", "i2", "f4"], "idx_gzipped": ["u1", "f8"]}
    return narrow.get(kind, ["u1", "i2", "f4"])


@pytest.fixture(params=[(kind, dtype) for kind in KINDS for dtype in dtypes_of(kind)], ids="-".join)
def written(request, tmp_path):
    """An array, and the data that was made of it."""
    kind, dtype = request.param
    array = reference(dtype)
    return array, KINDS[kind](tmp_path, array)


def test_shape_and_dtype(written):
    array, data = written
    with open_source(data) as source:
        assert source.shape == array.shape
        assert source.sample_shape == (5, 7)
        assert len(source) == ROWS
        assert source.dtype == array.dtype
        assert source.dtype.isnative
        assert source.name


def test_reads_equal_the_reference(written):
    array, data = written
    with open_source(data) as source:
        for start, stop in RANGES:
            rows = source.read(start, stop)
            np.testing.assert_array_equal(rows, array[start:stop])
            assert rows.dtype == array.dtype
            assert rows.dtype.isnative
            assert type(rows) is np.ndarray
            assert rows.flags.c_contiguous
            assert rows.flags.aligned


@pytest.mark.parametrize("rows", [(-1, 2), (3, 2), (0, ROWS + 1), (ROWS + 1, ROWS + 1)])
def test_rows_out_of_range_are_an_index_error(written, rows):
    with open_source(written[1]) as source, pytest.raises(IndexError, match=f"within 0:{ROWS}"):
        source.read(*rows)


def test_rows_outlive_the_source(written):
    array, data = written
    with open_source(data) as source:
        rows = source.read(1, 9)
    source.close()
    del source
    np.testing.assert_array_equal(rows, array[1:9])


def test_threads_read_the_same(written):
    array, data = written
    ranges = RANGES * 8
    with open_source(data) as source, ThreadPoolExecutor(8) as threads:
        reads = threads.map(lambda rows: source.read(*rows), ranges)
        for rows, (start, stop) in zip(reads, ranges, strict=True):
            np.testing.assert_array_equal(rows, array[start:stop])


def test_an_open_source_is_returned_as_it_is(written):
    with open_source(written[1]) as source:
        assert isinstance(source, Source)
        assert open_source(source) is source


def test_spread_rows_run_from_first_to_last():
    assert spread_rows(10, 4).tolist() == [0, 3, 6, 9]
    assert spread_rows(3, 64).tolist() == [0, 1, 2]
    assert spread_rows(5, 1).tolist() == [0]
    assert spread_rows(1, 5).tolist() == [0]


@pytest.mark.parametrize("n", [64, 65, 100, 1_000_003])
def test_spread_rows_are_distinct_and_as_many_as_asked(n):
    rows = spread_rows(n, 64)
    assert len(set(rows.tolist())) == 64
    assert rows[0] == 0
    assert rows[-1] == n - 1
