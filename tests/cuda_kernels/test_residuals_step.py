import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuda_kernels.error_statistics.reference import finish
from cuda_kernels.residuals.step import half_step, round_down, short_step, steps

FLOATS = [np.dtype(f"f{size}") for size in (2, 4, 8)]
NORMAL = {"min_value": sys.float_info.min, "max_value": sys.float_info.max}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@given(value=st.floats(min_value=0, allow_infinity=False))
def test_a_bound_is_rounded_down_to_the_next_value_of_a_float_dtype(dtype, value):
    rounded = round_down(value, dtype)
    with np.errstate(over="ignore"):
        above = np.nextafter(dtype.type(rounded), dtype.type(np.inf))
    assert float(dtype.type(rounded)) == rounded <= value < float(above)


def test_a_bound_of_integers_is_an_integer_that_float64_tells_from_its_neighbours():
    assert [round_down(value, np.dtype("u1")) for value in (0, 0.99, 7, 7.5)] == [0, 0, 7, 7]
    assert round_down(1e300, np.dtype("i8")) == 2**53 - 1
    assert round_down(np.inf, np.dtype("i8")) == round_down(np.inf, np.dtype("f2")) == np.inf


@given(half=st.floats(**NORMAL), residual=st.integers(-(2**31), 2**31 - 1))
def test_a_short_step_is_the_largest_whose_products_are_exact(half, residual):
    step = short_step(half)
    numerator = Fraction(step).numerator
    assert numerator >> 11 == 0 or Fraction(numerator, numerator & -numerator) < 2**12
    assert step <= 2 * half
    assert step >= min(half, sys.float_info.max / 2) * (2 - 2.0**-10)
    product = residual * step
    assert np.isinf(product) or Fraction(product) == residual * Fraction(step)


@pytest.mark.parametrize("half", [0.0, -1.0, -np.inf, 5e-324])
def test_there_is_no_step_without_room(half):
    assert short_step(half) == 0


@pytest.mark.parametrize(
    ("max_error", "tolerance", "expected"),
    [
        (0, 0, 1),
        (3, 0, 7),
        (2047, 0, 4095),
        (2048, 0, 4096),  # 4097 has 13 bits
        (0, 0.125, 1 - 2.0**-2 - 2.0**-11),
        (3, 0.5, 6 - 2.0**-9),  # 6 - 2**-11 has 14 bits
        (0, 0.5, None),
    ],
)
def test_steps_of_integers(max_error, tolerance, expected):
    found = steps(float(max_error), np.dtype("i4"), 0, 1e6, tolerance)
    assert found == (() if expected is None else (expected,))


@pytest.mark.parametrize(
    ("smallest", "largest", "max_error", "expected"),
    [
        (1024, 2047, 0.0, 0.5),  # lossless: half a spacing, which is 1
        (1024, 2047, 0.25, 0.5),
        (1024, 2047, 1.75, 1.5),
        (1024, 2048, 2.75, 2.5),
        (512, 2048, 2.75, 2.5),
        (512, 2048, 3.5, 3.0),  # the spacing of 2048 is 2: one and a half of it
        (0, 2047, 1.75, 1.5),
        (0, 1, 1.75, 1.75),
        (0, 1, 0.0, 0.0),
    ],
)
def test_half_steps_of_float16(smallest, largest, max_error, expected):
    assert half_step(max_error, np.dtype("f2"), smallest, largest, 0) == expected
    assert half_step(max_error, np.dtype("f2"), smallest, largest, 0.125) == expected - 0.125


def test_extreme_half_steps():
    greatest = sys.float_info.max
    assert half_step(greatest, np.dtype("f8"), 0, greatest, 0) == greatest
    assert half_step(5e-324, np.dtype("f8"), 0, 5e-324, 0) == 5e-324
    assert steps(5e-324, np.dtype("f8"), 0, greatest, 0) == ()


@pytest.mark.parametrize("max_error", [0.0, 0.3, 0.5, 1.0, 1.4, 1.6, 7.25])
@pytest.mark.parametrize(("smallest", "largest"), [(1100, 1900), (560, 1000)])
def test_a_half_step_is_all_the_room_there_is(smallest, largest, max_error):
    dtype = np.dtype("f2")
    samples = np.arange(smallest, largest, 0.5).astype(dtype)
    room = half_step(max_error, dtype, smallest, largest, 0)

    def worst(distance):
        return np.abs(finish(samples + np.float64(distance), dtype).astype("f8") - samples).max()

    assert max(worst(0.999 * room), worst(-0.999 * room)) <= max_error
    assert max(worst(1.001 * room), worst(-1.001 * room)) > max_error
