"""The entropy coder of `docs/format.md`: the page's own decoder reads what the coder writes."""

import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings

from engine.geometry import RowGrid
from engine.store import rans_loops, rans_tables, shard_index
from engine.store.arrays import ShardedArray
from engine.store.coding import RANS, Coded, Coding
from engine.store.rans import RansCoder
from engine.store.rans_tables import RansTable

from ..store.test_rans import coded_chunks
from .format_page import section

NAMES = {}
exec(re.findall(r"```python\n(.*?)```", section("3.9"), re.S)[0], NAMES)


def read(content, tables, values):
    text, states = tables.to_json()["tables"], tables.states
    positions = int(np.prod(values.shape[1:]))
    read_chunk, found = NAMES["read_chunk"], NAMES["read_tables"](text)
    return read_chunk(content, states, found, len(values), positions, values.dtype.char)


@settings(max_examples=100)
@given(coded_chunks())
def test_the_page_reads_what_the_coder_writes(case):
    tables, values = case
    content = RansCoder(tables, values.shape, values.dtype).encode(values)
    assert read(content, tables, values) == values.reshape(len(values), -1).T.tolist()


@settings(max_examples=30)
@given(coded_chunks())
def test_the_page_notices_another_length(case):
    tables, values = case
    content = RansCoder(tables, values.shape, values.dtype).encode(values)
    for damaged in (content + b"\0", content[:-1]):
        with pytest.raises((ValueError, struct.error)):
            read(damaged, tables, values)


def test_the_limits_are_those_of_the_page():
    text = section("3.9")
    assert f"`tables`: T tables, 1 to {rans_tables.MOST_TABLES},\none after the other" in text
    assert f"| `shift` | 0 to {rans_tables.MOST_SHIFT}:" in text
    assert f"| `n` | 1 to {rans_tables.MOST_SYMBOLS} |" in text
    assert f"to {rans_tables.TOTAL} is the escape's" in text
    assert f"all states end at {rans_loops.LOWEST}" in text
    one, two, four = rans_tables.STATES
    assert f"`states`, S, which is {one}, {two} or {four}, and" in text
    assert f"The codec `{rans_tables.RANS_CODEC}`" in text


def test_the_bytes_of_a_length_are_those_of_the_page():
    text = " ".join(section("3.10").split())
    assert f"the codec `{shard_index.LENGTHS_CODEC}` stands" in text
    assert "exceeds 20 + (4 + itemsize) * v" in text
    coded = Coded(coding=Coding(RANS, tables=rans_tables.RansTables((RansTable(0, 0, (1,)),))))
    for values in (1, 39, 40, 10_919, 10_920):  # int16: 20 + 6v passes 255 and 65535
        grid = RowGrid(values, values, values)
        array = ShardedArray("latents", grid, (1,), np.dtype(np.int16), 0, coded=coded)
        size = array.index.length_bytes
        assert 256 ** (size - 1) - 1 <= 20 + 6 * values < 256**size - 1


def test_the_page_notices_another_state():
    tables = rans_tables.RansTables((rans_tables.RansTable(0, -1, (1000, 2000, 1000)),))
    values = np.ones((5, 2), np.int8)
    content = bytearray(RansCoder(tables, values.shape, values.dtype).encode(values))
    content[3] ^= 1
    with pytest.raises((ValueError, struct.error)):
        read(bytes(content), tables, values)
