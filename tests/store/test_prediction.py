"""Predictions: exactly undone on any integers, and what the specification of the format says."""

import itertools
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidInput
from engine.store.prediction import Prediction

from ..laws import same_values

DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i2"]
PLANE = Prediction(offsets=((0, 1), (1, 0), (1, 1), (1, -1)), weights=(200, 180, -130, 7))


@st.composite
def predicted_chunks(draw):
    """A prediction and any integers of a shape that it is for."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    axes = draw(st.permutations(range(len(shape))))
    differences = tuple(axes[: draw(st.integers(0, len(shape)))])
    items = [axis for axis in axes if axis]
    kind = draw(st.sampled_from(["none", "median", "linear"]))
    median, offsets, weights = (), (), ()
    if kind == "median" and len(items) > 1:
        median = tuple(items[:2])
    elif kind == "linear" and 0 < len(items) <= 3:
        step = st.tuples(*[st.integers(-2, 2)] * len(items))
        before = step.filter(lambda o: any(o) and next(s for s in o if s) > 0)
        offsets = tuple(draw(st.lists(before, min_size=1, max_size=6)))
        weights = tuple(draw(st.integers(-(1 << 12), 1 << 12)) for _ in offsets)
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    raw = np.random.default_rng(draw(st.integers(0, 99))).bytes(
        int(np.prod(shape)) * dtype.itemsize
    )
    return Prediction(differences, median, offsets, weights), np.frombuffer(raw, dtype).reshape(
        shape
    )


@given(predicted_chunks())
def test_any_integers_come_back(case):
    prediction, values = case
    found = prediction.from_differences(prediction.to_differences(values))
    assert same_values(found, values.astype(values.dtype.newbyteorder("=")))


@given(predicted_chunks())
def test_any_integers_are_differences_of_something(case):
    prediction, differences = case
    found = prediction.to_differences(prediction.from_differences(differences))
    assert same_values(found, differences.astype(differences.dtype.newbyteorder("=")))


@given(predicted_chunks())
def test_the_attribute_reads_back(case):
    prediction, values = case
    document = json.loads(json.dumps(prediction.to_json()))
    assert Prediction.from_json(document, values.ndim) == prediction


@given(predicted_chunks())
def test_every_value_is_predicted_as_the_format_says(case):
    """The inverse of docs/format.md, value by value, in Python's integers."""
    prediction, values = case
    expected = values.astype(values.dtype.newbyteorder("="))
    if values.dtype.itemsize > 4 and (prediction.median or prediction.offsets):
        return
    differences = prediction.to_differences(values)
    assert same_values(decoded_by_the_format(prediction, differences), expected)


def decoded_by_the_format(prediction, differences):
    limits = np.iinfo(differences.dtype)
    values = differences.copy()

    def wrapped(number):
        return (number - limits.min) % (1 << limits.bits) + limits.min

    def neighbour(at, offset):
        there = tuple(a - o for a, o in zip(at, (0, *offset), strict=True))
        inside = all(0 <= a < n for a, n in zip(there, values.shape, strict=True))
        return int(values[there]) if inside else 0

    for at in np.ndindex(values.shape):
        predicted = 0
        if prediction.median:
            one, other = (
                tuple(int(axis == step) for axis in range(1, values.ndim))
                for step in prediction.median
            )
            both = tuple(a + b for a, b in zip(one, other, strict=True))
            a, b, c = (neighbour(at, offset) for offset in (one, other, both))
            predicted = sorted([a, b, a + b - c])[1]
        elif prediction.offsets:
            terms = zip(prediction.weights, prediction.offsets, strict=True)
            predicted = (128 + sum(w * neighbour(at, o) for w, o in terms)) // 256
        values[at] = wrapped(int(values[at]) + predicted)
    for axis in reversed(prediction.differences):
        for at in np.ndindex(values.shape):
            if at[axis]:
                before = tuple(a - (place == axis) for place, a in enumerate(at))
                values[at] = wrapped(int(values[at]) + int(values[before]))
    return values


def test_a_ramp_leaves_only_its_edges():
    ramp = np.add.outer(3 * np.arange(8), 5 * np.arange(9)).astype(np.uint8)[np.newaxis] + 9
    expected = np.zeros((1, 8, 9), np.uint8)
    expected[0, 1:, 0] = 3
    expected[0, 0, 1:] = 5
    expected[0, 0, 0] = 9
    assert same_values(Prediction(differences=(1, 2)).to_differences(ramp), expected)


def test_the_median_follows_edges():
    picture = np.zeros((1, 6, 6), np.uint8)
    picture[:, :, 3:] = 200
    assert np.count_nonzero(Prediction(median=(1, 2)).to_differences(picture)) == 1
    assert np.count_nonzero(Prediction(median=(2, 1)).to_differences(picture[:, ::-1])) == 1


def test_no_prediction_is_false_and_changes_nothing():
    values = np.arange(6).reshape(2, 3)
    assert not Prediction()
    assert Prediction(median=(1, 2))
    assert Prediction(differences=(0,))
    assert PLANE
    assert same_values(Prediction().to_differences(values), values)


@pytest.mark.parametrize(
    "document",
    [
        {"differences": [3]},
        {"differences": [-1]},
        {"differences": [1, 1]},
        {"differences": [True]},
        {"differences": [], "median": [1]},
        {"differences": [], "median": [1, 1]},
        {"differences": [], "median": [0, 1]},
        {"differences": [], "median": [1, 3]},
        {"differences": [], "linear": {"offsets": [[0, 0]], "weights": [1]}},
        {"differences": [], "linear": {"offsets": [[0, -1]], "weights": [1]}},
        {"differences": [], "linear": {"offsets": [[-1, 2]], "weights": [1]}},
        {"differences": [], "linear": {"offsets": [[10**9, 0]], "weights": [1]}},
        {"differences": [], "linear": {"offsets": [[1]], "weights": [1]}},
        {"differences": [], "linear": {"offsets": [[1, 0]], "weights": [1, 2]}},
        {"differences": [], "linear": {"offsets": [[1, 0]], "weights": [0.5]}},
        {"differences": [], "linear": {"offsets": [[1, 0]], "weights": [1 << 40]}},
        {"differences": [], "linear": {"offsets": [[1, 0]] * 99, "weights": [1] * 99}},
        {"differences": [], "linear": {"offsets": [[1, 0, 0, 0]], "weights": [1]}},
        {"differences": [], "median": [1, 2], "linear": PLANE.to_json()["linear"]},
    ],
)
def test_a_prediction_that_makes_no_sense_is_refused(document):
    with pytest.raises(InvalidInput):
        Prediction.from_json(document, axes=3)


def test_neighbours_beyond_a_short_axis_take_little_memory():
    axis = [
        offset for offset in itertools.product([2, 1, 0, -1, -2], repeat=3) if offset > (0, 0, 0)
    ]
    wide = Prediction(offsets=tuple(axis[:32]), weights=(256,) * 32)
    differences = np.ones((100_000, 1, 1, 1), np.int8)
    tracemalloc.start()
    try:
        assert same_values(wide.from_differences(differences), differences)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
