"""Tables of the entropy coder: valid once made, and what metadata says of them is checked."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidInput
from engine.store.rans_tables import MOST_TABLES, STATES, TOTAL, RansTable, RansTables

INT8, INT16 = np.dtype(np.int8), np.dtype(np.int16)


@st.composite
def tables_for(draw, dtype):
    """One table that codes values of `dtype`."""
    shift = draw(st.integers(0, 8))
    limits = np.iinfo(dtype)
    first, last = limits.min >> shift, limits.max >> shift
    low = draw(st.integers(first, last))
    size = draw(st.integers(1, min(255, last - low + 1)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    # Where each frequency ends: rare ones, common ones, and escapes from rare to common.
    ends = np.sort(rng.choice(np.arange(1, draw(st.integers(size + 1, TOTAL))), size, False))
    return RansTable(shift, low, tuple(int(n) for n in np.diff(ends, prepend=0)))


def rans_tables(dtype):
    tables = st.lists(tables_for(dtype), min_size=1, max_size=5).map(tuple)
    return st.builds(RansTables, tables, st.sampled_from(STATES))


@given(rans_tables(INT16))
def test_tables_come_back_from_metadata(tables):
    assert RansTables.from_json(tables.to_json()) == tables


@given(rans_tables(INT8))
def test_slots_are_shared_out_by_frequency(tables):
    coded = tables.coded
    for table, place in zip(tables.tables, coded.places, strict=True):
        expected = [*table.frequencies, table.escape_frequency]
        starts = coded.starts[place].astype(int)
        assert np.diff(starts)[: len(expected)].tolist() == expected
        assert (starts[len(expected) :] == TOTAL).all()
        symbols, slots = coded.symbols[place], np.arange(TOTAL)
        assert ((starts[symbols] <= slots) & (slots < starts[symbols.astype(int) + 1])).all()


def test_a_product_with_an_inverse_is_the_division_of_every_state():
    for frequency in range(1, TOTAL):
        inverse = int(RansTables((RansTable(0, 0, (frequency,)),)).coded.inverses[0, 0])
        highest = (frequency << 20) - 1
        multiples = [frequency * q for q in (1, 2, 1 << 10, (1 << 20) - 1)]
        for state in (1, highest, *multiples, *(m - 1 for m in multiples)):
            assert state * inverse < 1 << 64
            assert state * inverse >> 44 == state // frequency


def test_equal_tables_take_memory_once():
    tables = RansTables((RansTable(0, 0, (4095,)), RansTable(0, 3, (4095,))) * 100)
    assert len(tables.coded.starts) == 1


@pytest.mark.parametrize(
    ("shift", "low", "frequencies"),
    [
        (-1, 0, (1,)),
        (9, 0, (1,)),
        (True, 0, (1,)),
        (0, 0.0, (1,)),
        (0, 1 << 16, (1,)),
        (0, -(1 << 16) - 1, (1,)),
        (0, 0, ()),
        (0, 0, (0,)),
        (0, 0, (5, 0, 5)),
        (0, 0, (-1, 5)),
        (0, 0, (4096,)),
        (0, 0, (2048, 2048)),
        (0, 0, (1.5,)),
        (0, 0, (1,) * 256),
    ],
)
def test_tables_that_can_not_code_are_refused(shift, low, frequencies):
    with pytest.raises(InvalidInput):
        RansTable(shift, low, frequencies)


@pytest.mark.parametrize("count", [0, MOST_TABLES + 1])
def test_no_tables_and_too_many_are_refused(count):
    with pytest.raises(InvalidInput, match=f"{count} tables"):
        RansTables((RansTable(0, 0, (1,)),) * count)


@pytest.mark.parametrize(
    ("table", "dtype", "fits"),
    [
        (RansTable(0, -128, (1,) * 255), INT8, True),
        (RansTable(0, -127, (1,) * 255), INT8, True),
        (RansTable(0, -126, (1,) * 255), INT8, False),
        (RansTable(0, -129, (1, 1)), INT8, False),
        (RansTable(4, -8, (1,) * 16), INT8, True),
        (RansTable(4, -8, (1,) * 17), INT8, False),
        (RansTable(4, -9, (1,)), INT8, False),
        (RansTable(8, -128, (1,) * 255), INT16, True),
        (RansTable(8, -129, (1,)), INT16, False),
        (RansTable(0, 0, (1,)), np.dtype(np.uint8), False),
        (RansTable(0, 0, (1,)), np.dtype(np.int32), False),
        (RansTable(0, 0, (1,)), np.dtype(np.float16), False),
    ],
)
def test_tables_are_of_one_data_type(table, dtype, fits):
    tables = RansTables((RansTable(0, 0, (7,)), table))
    if fits:
        tables.require(dtype)
    else:
        with pytest.raises(InvalidInput):
            tables.require(dtype)


@pytest.mark.parametrize("states", [0, 3, 8, -1, True, 2.0, "4", None])
def test_other_numbers_of_states_are_refused(states):
    with pytest.raises(InvalidInput, match="states"):
        RansTables((RansTable(0, 0, (1,)),), states)


def as_configuration(content, states=4):
    return {"states": states, "tables": base64.b64encode(bytes(content)).decode()}


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"states": 4},
        {"tables": "AAABAQ=="},
        *({"states": 4, "tables": tables} for tables in (3, None, ["AAABAQ=="])),
        *({"states": 4, "tables": tables} for tables in ("AAAB AQ==", "AAABA", "ü")),
        as_configuration([0, 0, 1, 1], states=3),
        as_configuration([0, 0, 1, 1], states=[4]),
        as_configuration([]),
        as_configuration([0]),
        as_configuration([0, 0]),
        as_configuration([0, 0, 0]),
        as_configuration([0, 0, 1]),
        as_configuration([0, 0, 2, 1]),
        as_configuration([0, 0, 1, 0]),
        as_configuration([9, 0, 1, 1]),
        as_configuration([0, 0, 1, 0x80]),
        as_configuration([0, 0, 1, 0x80, 0x80, 0x80, 1]),
        as_configuration([0, 0, 0xFF, 0xFF, 0x7F, 1]),
        as_configuration([0, 0, 1, 0x80, 0x20]),
        as_configuration([0, 0, 1, 1] * (MOST_TABLES + 1)),
    ],
    ids=repr,
)
def test_damaged_metadata_are_refused(configuration):
    with pytest.raises(InvalidInput) as error:
        RansTables.from_json(configuration)
    assert "\n" not in str(error.value)


@given(st.binary(max_size=40))
def test_any_bytes_are_tables_or_refused(content):
    try:
        tables = RansTables.from_json(as_configuration(content))
    except InvalidInput:
        return
    again = RansTables.from_json(tables.to_json())
    assert again == tables
