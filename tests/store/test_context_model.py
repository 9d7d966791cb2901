"""Models of the contextual coder: valid once made, and what metadata says of them is checked."""

import base64
import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidInput
from engine.store.context_model import (
    COORDINATE,
    DIFFERENCE,
    ERROR,
    ERRORS,
    FRACTION,
    MOST_NODES,
    MOST_WEIGHT,
    VALUE,
    ContextModel,
    Leaf,
    Split,
)
from engine.store.rans_tables import RansTable

from .test_rans_tables import tables_for

INT16 = np.dtype(np.int16)
LEAF = Leaf(0, RansTable(0, -1, (1000, 2000, 1000)))


@st.composite
def context_models(draw, axes, dtype=INT16):
    """Any model for items of so many axes."""
    steps = st.lists(st.integers(-2, 2), min_size=axes, max_size=axes).map(tuple)
    before = steps.filter(lambda offset: next((step > 0 for step in offset if step), False))
    neighbours = tuple(draw(st.lists(before, min_size=1, max_size=5)))
    weight = st.integers(1 - MOST_WEIGHT, MOST_WEIGHT - 1) | st.integers(-200, 300)
    weights = st.lists(weight, min_size=len(neighbours), max_size=len(neighbours)).map(tuple)
    predictors = tuple(draw(st.lists(weights, max_size=2)))
    count = draw(st.integers(1, 9))
    nodes = [
        draw(splits(axes, len(neighbours), len(predictors), left=count - place))
        if place < count - 1 and draw(st.booleans())
        else Leaf(draw(st.integers(0, len(predictors))), draw(tables_for(dtype)))
        for place in range(count)
    ]
    return ContextModel(neighbours, predictors, tuple(nodes))


@st.composite
def splits(draw, axes, neighbours, predictors, left):
    kinds = {COORDINATE: (axes, 1), VALUE: (neighbours, 1), DIFFERENCE: (neighbours, neighbours)}
    if predictors:
        kinds |= {FRACTION: (predictors, 1), ERROR: (predictors, neighbours)}
        kinds |= {ERRORS: (predictors, 1)}
    kind = draw(st.sampled_from(sorted(kinds)))
    first, second = (draw(st.integers(0, most - 1)) for most in kinds[kind])
    threshold = draw(st.integers(-3, 9) | st.integers(-(1 << 20) + 1, (1 << 20) - 1))
    return Split(kind, first, second, threshold, draw(st.integers(1, left - 1)))


@given(st.integers(1, 3).flatmap(context_models))
def test_models_come_back_from_metadata(model):
    assert ContextModel.from_json(model.to_json()) == model


def model(**changes):
    split = Split(VALUE, 0, 0, 5, 2)
    good = ContextModel(((0, 1), (1, -1)), ((200, -100),), (split, LEAF, Leaf(1, LEAF.table)))
    return dataclasses.replace(good, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"neighbours": ()},
        {"neighbours": ((), ())},
        {"neighbours": ((0, 1), (1,))},
        {"neighbours": ((0, 1), (0, 0))},
        {"neighbours": ((0, 1), (0, -1))},
        {"neighbours": ((0, 1), (-1, 2))},
        {"neighbours": ((0, 1), (0, 3))},
        {"neighbours": ((0, 0, 0, 1), (0, 0, 0, 1))},
        {"neighbours": ((0, 1),) * 17, "predictors": (), "nodes": (LEAF,)},
        {"predictors": ((1,),)},
        {"predictors": ((1, 2, 3),)},
        {"predictors": ((1, 2),) * 5},
        {"predictors": ((MOST_WEIGHT, 0),)},
        {"predictors": ((0, -MOST_WEIGHT),)},
        {"nodes": ()},
        {"nodes": (LEAF,) * (MOST_NODES + 1)},
        {"nodes": (Leaf(2, LEAF.table),)},
        {"nodes": (Leaf(-1, LEAF.table),)},
        {"nodes": (LEAF, Split(VALUE, 0, 0, 0, 1))},
        *(
            {"nodes": (Split(*split), LEAF, LEAF)}
            for split in [
                (VALUE, 0, 0, 0, 0),
                (VALUE, 0, 0, 0, -1),
                (VALUE, 0, 0, 0, 3),
                (VALUE, 2, 0, 0, 2),
                (VALUE, -1, 0, 0, 2),
                (VALUE, 0, 1, 0, 2),
                (VALUE, 0, 0, 1 << 20, 2),
                (VALUE, 0, 0, -(1 << 20), 2),
                (COORDINATE, 2, 0, 0, 2),
                (DIFFERENCE, 0, 2, 0, 2),
                (FRACTION, 1, 0, 0, 2),
                (ERROR, 1, 0, 0, 2),
                (ERROR, 0, 2, 0, 2),
                (ERRORS, 1, 0, 0, 2),
                (7, 0, 0, 0, 2),
                (-1, 0, 0, 0, 2),
            ]
        ),
    ],
    ids=repr,
)
def test_models_that_can_not_code_are_refused(changes):
    with pytest.raises(InvalidInput) as error:
        model(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("dtype", "axes", "fits"),
    [
        ("int8", 3, True),
        ("uint8", 3, True),
        (">i2", 3, True),
        ("uint16", 3, True),
        ("int8", 2, False),
        ("int8", 4, False),
        ("int32", 3, False),
        ("float16", 3, False),
        ("bool", 3, False),
    ],
)
def test_models_are_for_small_integers_of_some_axes(dtype, axes, fits):
    if fits:
        model().require(np.dtype(dtype), axes)
    else:
        with pytest.raises(InvalidInput):
            model().require(np.dtype(dtype), axes)


def as_configuration(content):
    return {"model": base64.b64encode(bytes(content)).decode()}


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"model": None},
        {"model": 3},
        {"model": ["AQE="]},
        {"model": "ü"},
        {"model": "AAAA" * (1 << 19)},
        as_configuration([]),
        as_configuration([1]),
        as_configuration([0, 1, 2, 0]),
        as_configuration([4, 1, 0, 0, 0, 2, 0]),
        as_configuration([1, 0, 0]),
        as_configuration([1, 17, *[2] * 17, 0, 0, 0, 0, 0, 1, 1]),
        as_configuration([1, 1, 2]),
        as_configuration([1, 1, 2, 1]),
        as_configuration([1, 1, 2, 0xFF, 0xFF, 0x7F]),
        as_configuration([1, 1, 2, 0]),
        as_configuration([1, 1, 2, 0, 0]),
        as_configuration([1, 1, 2, 0, 0, 0, 0, 0, 2, 1]),
        as_configuration([1, 1, 2, 0, 0, 0, 9, 0, 1, 1]),
        as_configuration([1, 1, 2, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0x7F]),
        as_configuration([1, 1, 2, 0, 2, 0, 0, 0, 1]),
    ],
    ids=lambda configuration: repr(configuration)[:60],
)
def test_damaged_metadata_are_refused(configuration):
    with pytest.raises(InvalidInput) as error:
        ContextModel.from_json(configuration)
    assert "\n" not in str(error.value)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_model_or_refused(content):
    try:
        found = ContextModel.from_json(as_configuration(content))
    except InvalidInput:
        return
    assert ContextModel.from_json(found.to_json()) == found
