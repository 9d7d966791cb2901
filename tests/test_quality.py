import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.quality import decode_errors, encode_errors, error_levels, peak_value, psnr_db

UNITS = st.floats(1e-300, 1e300)
ERRORS = st.floats(0, allow_nan=False)


@given(UNITS)
def test_levels_ascend_from_zero_to_infinity(unit):
    levels = error_levels(unit)
    assert levels[0] == 0
    assert levels[208] == unit
    assert levels[255] == np.inf
    assert (np.diff(levels[:255]) > 0).all()
    np.testing.assert_allclose(levels[2:255] / levels[1:254], 2 ** (1 / 8), rtol=1e-12)


@given(UNITS, ERRORS)
def test_a_stored_error_is_never_smaller_than_the_measured_one(unit, error):
    levels = error_levels(unit)
    code = encode_errors([error], levels)
    assert levels[code[0]] >= error
    assert float(decode_errors(code, levels)[0]) >= error


@given(UNITS, st.floats(2**-25, 2**5))
def test_a_stored_error_is_at_most_a_level_larger(unit, share):
    levels = error_levels(unit)
    stored = levels[encode_errors([share * unit], levels)[0]]
    assert stored <= share * unit * 1.0906


@given(UNITS, ERRORS, ERRORS)
def test_codes_keep_the_order_of_errors(unit, first, second):
    codes = encode_errors(sorted([first, second]), error_levels(unit))
    assert codes[0] <= codes[1]


@given(UNITS)
def test_every_level_is_its_own_code(unit):
    levels = error_levels(unit)
    np.testing.assert_array_equal(encode_errors(levels, levels), np.arange(256))


def test_zero_is_exact_and_what_is_no_number_is_infinite():
    levels = error_levels(255.0)
    codes = encode_errors([0.0, np.inf, np.nan, 1e30, 5e-324], levels)
    assert codes.tolist() == [0, 255, 255, 255, 1]
    decoded = decode_errors(codes, levels)
    assert decoded.dtype == np.float32
    assert decoded[0] == 0
    assert np.isinf(decoded[1:4]).all()


@pytest.mark.parametrize("unit", [1e-300, 1e-40, 1e38, 1e300])
def test_levels_that_float32_lacks_round_up_without_a_warning(unit):
    levels = error_levels(unit)
    decoded = decode_errors(np.arange(256), levels)
    assert (decoded.astype(np.float64) >= levels).all()
    assert decoded[0] == 0


def test_codes_keep_their_shape():
    levels = error_levels(1.0)
    assert encode_errors(np.ones((3, 2)), levels).shape == (3, 2)
    assert decode_errors(np.ones((3, 2), np.uint8), levels).shape == (3, 2)


@pytest.mark.parametrize(
    ("dtype", "peak"), [("u1", 255), ("u2", 65535), ("i2", 30), ("u4", 30), ("f4", 30)]
)
def test_the_peak_is_that_of_the_dtype_or_of_the_data(dtype, peak):
    assert peak_value(dtype, -10.0, 20.0) == peak


def test_psnr():
    assert psnr_db(1.0, 255.0) == pytest.approx(48.1308, abs=1e-4)
    assert psnr_db(25.0, 10.0) == pytest.approx(10 * math.log10(100 / 25))
    assert psnr_db(0.0, 255.0) == math.inf
    assert psnr_db(1.0, 0.0) == -math.inf
