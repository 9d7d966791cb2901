"""The entropy coder of `docs/format.md`: the page's own decoder reads what the coder writes."""

import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings

from engine.store import rans_loops, rans_tables
from engine.store.rans import RansCoder

from ..store.test_rans import coded_chunks
from .format_page import section

NAMES = {}
exec(re.findall(r"```python\n(.*?)```", section("3.9"), re.S)[0], NAMES)


def read(content, tables, values):
    tables = NAMES["read_tables"](tables.to_json()["tables"])
    positions = int(np.prod(values.shape[1:]))
    return NAMES["read_chunk"](content, tables, len(values), positions, values.dtype.char)


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
    assert f"1 to {rans_tables.MOST_TABLES}, one after the other" in text
    assert f"| `shift` | 0 to {rans_tables.MOST_SHIFT}:" in text
    assert f"| `n` | 1 to {rans_tables.MOST_SYMBOLS} |" in text
    assert f"to {rans_tables.TOTAL} is the escape's" in text
    assert f"all states end at {rans_loops.LOWEST}" in text
    assert f"uint32 \N{MULTIPLICATION SIGN} {rans_loops.STATES} |" in text
    assert f"The codec `{rans_tables.RANS_CODEC}`" in text


def test_the_page_notices_another_state():
    tables = rans_tables.RansTables((rans_tables.RansTable(0, -1, (1000, 2000, 1000)),))
    values = np.ones((5, 2), np.int8)
    content = bytearray(RansCoder(tables, values.shape, values.dtype).encode(values))
    content[3] ^= 1
    with pytest.raises((ValueError, struct.error)):
        read(bytes(content), tables, values)
