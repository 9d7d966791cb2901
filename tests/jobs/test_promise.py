"""From what is asked for to absolute numbers."""

import math

import numpy as np
import pytest

from engine import InvalidInput
from engine.jobs.promise import promise, survey_under
from engine.sources import open_source

ASKED = {
    "max_error": None,
    "lossless": False,
    "min_psnr": None,
    "nonfinite": None,
    "fill_value": "auto",
}
FLOATS = np.linspace(-1, 3, 40).reshape(8, 5)
FILLED = np.concatenate([FLOATS, np.full((1, 5), -9999.0)])
BYTES = np.arange(40, dtype="u1").reshape(8, 5)


def promised(data, **asked):
    with open_source(data) as source:
        return promise(source, **ASKED | asked)


@pytest.mark.parametrize(
    ("data", "asked", "expected"),
    [
        (FLOATS, {"max_error": 0.5}, 0.5),
        (FLOATS, {"max_error": "0.5"}, 0.5),
        (FLOATS, {"max_error": 0}, 0.0),
        (FLOATS, {"max_error": "1%"}, 0.04),
        (FLOATS, {"max_error": " 0.1 % "}, 0.004),
        (FILLED, {"max_error": "1%"}, 0.04),
        (FILLED, {"max_error": "1%", "fill_value": None}, 100.02),
        (BYTES, {"max_error": "10%"}, 3.9),
        (np.full((4, 2), 7.5), {"max_error": "1%"}, 0.0),
        (np.full((4, 2), math.nan), {"max_error": "1%"}, 0.0),
    ],
)
def test_bounds_are_absolute(data, asked, expected):
    guarantee, survey = promised(data, **asked)
    assert guarantee.kind == "max-error"
    assert guarantee.max_error == pytest.approx(expected, rel=1e-15)
    assert guarantee.fill_values == survey.fill_values


@pytest.mark.parametrize(
    ("data", "peak"),
    [
        (BYTES, 255.0),
        (BYTES.astype("u2"), 65535.0),
        (BYTES.astype("i2"), 39.0),
        (FLOATS, 4.0),
        (FILLED, 4.0),
        (np.full((4, 2), 7.5), 0.0),
    ],
)
def test_peak_is_that_of_the_dtype_or_of_the_data(data, peak):
    guarantee, _ = promised(data, min_psnr=40)
    assert (guarantee.min_psnr, guarantee.peak) == (40.0, peak)


def test_what_is_not_finite_is_kept_where_anything_is_promised():
    assert promised(FLOATS, lossless=True)[0].nonfinite == "keep"
    assert promised(FLOATS)[0].nonfinite == "error"
    assert promised(FLOATS, nonfinite="keep")[0].nonfinite == "keep"
    assert promised(FLOATS, lossless=True, nonfinite="error")[0].nonfinite == "error"


@pytest.mark.parametrize(
    ("dtype", "fill_value", "expected"),
    [
        ("f4", None, ()),
        ("f4", -9999, (-9999.0,)),
        ("f4", [1e20, math.nan], (float(np.float32(1e20)),)),
        ("f4", math.nan, ()),
        ("i2", -32768, (-32768,)),
        ("i2", -32768.0, (-32768,)),
        ("u8", 2**64 - 1, (2**64 - 1,)),
        ("i8", -(2**63), (-(2**63),)),
        ("u1", [0, 255], (0, 255)),
    ],
)
def test_fill_values_are_values_of_the_dtype(dtype, fill_value, expected):
    guarantee, _ = promised(np.ones((4, 2), dtype), max_error=1, fill_value=fill_value)
    assert guarantee.fill_values == expected


@pytest.mark.parametrize(
    ("dtype", "asked"),
    [
        ("f4", {"max_error": 1, "lossless": True}),
        ("f4", {"max_error": 1, "min_psnr": 40}),
        ("f4", {"max_error": -1}),
        ("f4", {"max_error": "1 percent"}),
        ("f4", {"max_error": math.inf}),
        ("f4", {"max_error": "nan%"}),
        ("f4", {"min_psnr": math.nan}),
        ("f4", {"nonfinite": "ignore"}),
        ("f4", {"fill_value": "none"}),
        ("f4", {"fill_value": [[1]]}),
        ("f4", {"fill_value": 1e300}),
        ("i2", {"fill_value": 1e20}),
        ("i2", {"fill_value": 40000}),
        ("i2", {"fill_value": 0.5}),
        ("u1", {"fill_value": -1}),
        ("u8", {"fill_value": 2.0**64}),
    ],
)
def test_impossible_demands_are_refused(dtype, asked):
    with pytest.raises(InvalidInput):
        promised(np.ones((4, 2), dtype), **{"max_error": None} | asked)


def test_a_range_beyond_float64_is_no_range():
    wide = np.array([[-1.7e308], [1.7e308]])
    for asked in ({"max_error": "1%"}, {"min_psnr": 40}):
        with pytest.raises(InvalidInput):
            promised(wide, **asked)


@pytest.mark.parametrize("asked", [{"max_error": 0.1}, {"lossless": True}, {"min_psnr": 40}, {}])
@pytest.mark.parametrize("data", [FLOATS, FILLED, BYTES, BYTES.astype("i4"), BYTES.astype("i8")])
def test_a_repair_finds_what_the_job_found(data, asked):
    guarantee, survey = promised(data, **asked)
    with open_source(data) as source:
        assert survey_under(source, guarantee) == survey
