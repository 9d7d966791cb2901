"""Row numbers of an index: NumPy's own answer for the first axis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidInput
from engine.reading.selection import is_integer, select_rows, slice_rows

LENGTH = 10
ROWS = np.arange(LENGTH)
integers = st.integers(-LENGTH, LENGTH - 1)
keys = st.one_of(
    st.slices(LENGTH),
    st.lists(integers, max_size=30),
    st.lists(integers, min_size=1).map(np.array),
    st.lists(integers, min_size=1).map(lambda rows: np.array(rows, np.int8)),
    st.lists(st.booleans(), min_size=LENGTH, max_size=LENGTH).map(np.array),
    st.lists(st.booleans(), min_size=LENGTH, max_size=LENGTH),
    st.lists(integers.map(abs), min_size=1).map(lambda rows: np.array(rows, np.uint64) % LENGTH),
)


@given(keys)
def test_many_rows_as_numpy_selects_them(key):
    expected = ROWS[key if not isinstance(key, list) or key else np.array([], int)]
    found = select_rows(key, LENGTH)
    assert found.dtype == np.int64
    assert found.tolist() == expected.tolist()
    if isinstance(key, slice):
        assert list(slice_rows(key, LENGTH)) == expected.tolist()


@given(integers, st.sampled_from([int, np.int8, np.int64, np.array]))
def test_one_row(row, kind):
    assert is_integer(kind(row))
    assert select_rows(kind(row), LENGTH).tolist() == [ROWS[row]]


@pytest.mark.parametrize(
    "key",
    [10, -11, [0, 10], [-11], np.uint64(2**64 - 1), [2**64 - 1], 2**70, np.array([2**63], "u8")],
    ids=str,
)
def test_rows_out_of_range(key):
    with pytest.raises(IndexError, match="is out of range for 10 samples"):
        select_rows(key, LENGTH)


@pytest.mark.parametrize(
    "key",
    [
        None, True, np.True_, 1.0, "1", [1.0], ["a"], [[0, 1]], [[0], [1, 2]], [True, False],
        np.ones((LENGTH, 2), bool), np.array(1.0), {1: 2}, pytest.param(object(), id="an object"),
        slice(None, None, 0), slice(0.5),
    ],
    ids=str,
)  # fmt: skip
def test_what_selects_no_samples(key):
    with pytest.raises(InvalidInput):
        select_rows(key, LENGTH)
