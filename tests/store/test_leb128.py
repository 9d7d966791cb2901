"""Numbers of metadata as text: they come back, and what none are is refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.store.leb128 import fold, from_text, to_text, unfold

LARGEST = (1 << 21) - 1
ENDS = st.sampled_from([0, 127, 128, (1 << 14) - 1, 1 << 14, LARGEST])


@given(st.lists(st.integers(0, LARGEST) | ENDS))
def test_numbers_come_back(numbers):
    assert from_text(to_text(iter(numbers))) == numbers


def test_bytes_are_those_of_leb128():
    assert base64.b64decode(to_text([0, 127, 128, 624_485])) == b"\x00\x7f\x80\x01\xe5\x8e\x26"


@pytest.mark.parametrize("number", [-1, LARGEST + 1])
def test_no_other_number_is_written(number):
    with pytest.raises(ValueError, match="three bytes"):
        to_text([1, number])


@pytest.mark.parametrize("content", [b"\x80", b"\x05\xff", b"\x80\x80\x80\x01"])
def test_what_is_no_number_is_refused(content):
    with pytest.raises(ValueError, match="number"):
        from_text(base64.b64encode(content).decode())


@given(st.integers(-(1 << 40), 1 << 40))
def test_folding_is_undone(number):
    assert unfold(fold(number)) == number
