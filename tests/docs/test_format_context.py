"""The contextual coder of `docs/format.md`: the page's own decoder reads what the coder writes."""

import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings

from engine.store import context_model
from engine.store.context import ContextCoder
from engine.store.context_fit import fit_model

from ..store.test_context import coded_chunks, smooth
from .format_page import section

NAMES = {}
exec(re.findall(r"```python\n(.*?)```", section("3.11"), re.S)[0], NAMES)


def read(content, model, values):
    model = NAMES["read_model"](model.to_json()["model"])
    return NAMES["read_chunk"](content, model, len(values), values.shape[1:], values.dtype.char)


def by_position(values):
    return values.reshape(len(values), -1).T.tolist()


@settings(max_examples=60, deadline=None)
@given(coded_chunks())
def test_the_page_reads_what_the_coder_writes(case):
    model, values = case
    content = ContextCoder(model, values.shape, values.dtype).encode(values)
    assert read(content, model, values) == by_position(values)


def test_the_page_reads_real_chunks(digits):
    values = ((digits[:120].astype(int) + 7) // 15).astype(np.int8)
    model = fit_model(values, 1e6)
    content = ContextCoder(model, (8, 28, 28), values.dtype).encode(values[:8])
    assert read(content, model, values[:8]) == by_position(values[:8])


def test_the_page_notices_another_length():
    values = smooth((9, 4, 3))
    model = fit_model(values, 1e6)
    content = ContextCoder(model, values.shape, values.dtype).encode(values)
    for damaged in (content + b"\0", content[:-1], content[:-2]):
        with pytest.raises((ValueError, struct.error, StopIteration)):
            read(damaged, model, values)


def test_the_limits_are_those_of_the_page():
    text = section("3.11")
    assert f"axes of an item, 1 to {context_model.MOST_AXES}" in text
    assert f"neighbours, 1 to {context_model.MOST_NEIGHBOURS} |" in text
    assert f"predictors, 0 to {context_model.MOST_PREDICTORS} |" in text
    limit = context_model.MOST_WEIGHT - 1
    assert f"their weights, {-limit} to {limit} |" in text
    assert f"1 to {context_model.MOST_NODES}, each" in text
    assert f"The codec `{context_model.CONTEXT_CODEC}`" in text
