"""One pass over the data: what it finds is what all of them at once say."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engine.jobs.survey import Survey, survey
from engine.sources import open_source

DTYPES = [f"{kind}{size}" for kind in "ui" for size in (1, 2, 4, 8)] + ["f2", "f4", "f8"]
BLOCK = 1_500_000  # float64 values: more than one block of 8 MiB
LONG = np.concatenate([np.linspace(*ends, BLOCK) for ends in ((6.0, 7.0), (5.0, 6.0), (7.0, 7.5))])


def survey_of(values, fill_values=None):
    with open_source(np.asarray(values)) as source:
        return survey(source, fill_values)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_finds_the_range_of_what_is_finite_and_not_filled(dtype, data):
    values = data.draw(hnp.arrays(dtype, st.tuples(st.integers(1, 5), st.integers(1, 9))))
    fill = data.draw(st.sampled_from(values.ravel()))
    given_fill = (fill.item(),) if np.isfinite(fill) else ()
    found = survey_of(values, given_fill)
    ordinary = values[np.isfinite(values)]
    if given_fill:
        ordinary = ordinary[ordinary != fill]
    assert found.nonfinite == np.count_nonzero(~np.isfinite(values))
    assert found.fill_values == given_fill
    expected = (float(ordinary.min()), float(ordinary.max())) if ordinary.size else (0.0, 0.0)
    assert (found.low, found.high) == expected


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_magnitudes_enclose_all_values(dtype, data):
    values = data.draw(
        hnp.arrays(dtype, (2, 5), elements={"allow_nan": False} if dtype[0] == "f" else None)
    )
    found = survey_of(values, ())
    magnitudes = np.abs(values[np.isfinite(values)].astype(float))
    if magnitudes.size:
        assert found.smallest_magnitude <= magnitudes.min()
        assert found.largest_magnitude == magnitudes.max()


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_marks_what_is_kept_bit_for_bit(dtype, data):
    values = data.draw(hnp.arrays(dtype, (2, 5)))
    fill = data.draw(st.sampled_from(values.ravel()))
    finite = bool(np.isfinite(fill))
    found = survey_of(values, (fill.item(),) if finite else ())
    expected = ~np.isfinite(values) | (values == fill)
    mask = found.verbatim(values)
    np.testing.assert_array_equal(np.zeros_like(expected) if mask is None else mask, expected)


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([-9999, -9999, 0, 1, 2, 3], "f4", (-9999,)),
        ([1e20, 0, 1, 2, 3, 1e20], "f4", (float(np.float32(1e20)),)),
        ([-32768, -32768, 10, 20, 300], "i2", (-32768,)),
        ([-9999, -9999, 0, 1, 2, 1e20, 1e20], "f8", (-9999, 1e20)),
        ([-1e20, -1e20, 0, 1, 2, 1e20, 1e20], "f8", (-1e20, 1e20)),
        ([2**64 - 1, 2**64 - 1, 1, 2, 3], "u8", (2**64 - 1,)),
        ([2**63 - 1, 2**63 - 1, 1, 2, 3], "i8", (2**63 - 1,)),
        ([-9999, 0, 1, 2, 3], "f4", ()),  # once is an outlier
        ([-9999, -9999, 0, 6000, 11000], "f4", ()),  # near enough to be one of them
        ([-11000, -6000, 0, 9999, 9999], "f4", ()),
        ([0, 0, 200, 201, 202], "u1", ()),  # black
        ([5, 5, 5], "f4", ()),
        ([5, 5, 9000, 9000], "f4", ()),  # which of the two would it be?
        ([math.nan, math.nan], "f4", ()),
    ],
)
def test_recognises_fill_values(values, dtype, expected):
    found = survey_of(np.array(values, dtype)[:, np.newaxis])
    assert found.fill_values == expected
    if expected:
        assert not set(expected) & {found.low, found.high}


def test_blocks_are_one_pass():
    found = survey_of(np.array([*LONG, 1e9, 1e9])[:, np.newaxis])
    assert found == Survey(5.0, 7.5, 0, (1e9,))


def test_a_common_extreme_value_is_apart_at_a_smaller_gap():
    ordinary = np.arange(-4000, 12000)
    land = np.full(len(ordinary) // 10, -9999)
    assert survey_of(np.concatenate([ordinary, land])[:, np.newaxis]).fill_values == (-9999,)
    assert survey_of(np.concatenate([ordinary, land[:5]])[:, np.newaxis]).fill_values == ()
    near = np.full(len(ordinary) // 10, -5000)
    assert survey_of(np.concatenate([ordinary, near])[:, np.newaxis]).fill_values == ()


def test_nothing_ordinary_has_no_range():
    assert survey_of(np.full((3, 2), math.inf)) == Survey(0.0, 0.0, 6, ())
