"""Steps and bounds of a job, from the promise and the range of its data."""

import math

import numpy as np
import pytest

from engine.guarantee import Guarantee
from engine.jobs.rules import make_rules
from engine.jobs.survey import Survey

ROOM = 1e-3
ANYTHING = Survey(-math.inf, math.inf, 1, ())
BYTES = Survey(0.0, 255.0, 0, ())
FIELD = Survey(-20.0, 30.0, 0, ())
LOSSLESS = Guarantee("lossless")


def rules(guarantee, dtype, survey, room=ROOM):
    return make_rules(guarantee, np.dtype(dtype), survey, room)


def within(error):
    return Guarantee("max-error", max_error=error)


def psnr(decibels, peak):
    return Guarantee("min-psnr", min_psnr=decibels, peak=peak)


def test_what_is_promised_bounds_the_elements_in_their_own_dtype():
    assert rules(within(2.9), "u1", BYTES).max_error == 2
    assert rules(LOSSLESS, "u1", BYTES).max_error == 0
    assert rules(within(0.1), "f4", FIELD).max_error == float(np.nextafter(np.float32(0.1), 0))
    assert rules(psnr(40, 255.0), "u1", BYTES).max_error == math.inf
    assert rules(psnr(40, 0.0), "f4", Survey(3.0, 3.0, 0, ())).max_error == 0


def test_integers_without_drift_need_no_slack():
    found = rules(within(2), "u1", BYTES)
    assert (found.quantised_steps, found.base, found.quantised_dtype) == ((5.0,), 130.0, "i1")
    (step,) = found.residual_steps
    assert 5 * (1 - 2.0**-11) - 2 * (ROOM + 2.0**-12) <= step < 5 - 2 * ROOM


def test_lossless_integers_are_quantised_to_themselves():
    found = rules(LOSSLESS, "i2", Survey(-100.0, 101.0, 0, ()))
    assert (found.quantised_steps, found.base, found.quantised_dtype) == ((1.0,), 1.0, "i1")


def test_quantised_samples_take_the_narrowest_integers_that_reach_both_ends():
    for error, dtype in ((1.0, "i1"), (1e-3, "i2"), (1e-6, "i4")):
        found = rules(within(error), "f4", FIELD)
        assert found.quantised_dtype == dtype
        reach = (FIELD.span / 2) / min(found.quantised_steps)
        assert reach <= np.iinfo(dtype).max


def test_where_none_reach_each_shard_has_its_own_base():
    found = rules(within(1e-3), "f4", Survey(-20.0, 1e30, 0, ()))
    assert (found.base, found.quantised_dtype) == (None, "i4")


def test_a_network_that_drifts_as_far_as_the_bound_is_not_used():
    assert rules(within(ROOM), "f4", FIELD).residual_steps == ()
    assert rules(within(ROOM), "f4", FIELD).quantised_steps != ()
    assert rules(within(0.1), "f4", FIELD, None).residual_steps == ()
    assert rules(within(0.1), "f4", FIELD).without_network() == rules(
        within(0.1), "f4", FIELD, None
    )


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_lossless_floats_are_not_quantised(dtype):
    found = rules(LOSSLESS, dtype, ANYTHING)
    assert (found.residual_steps, found.quantised_steps, found.quantised_dtype) == ((), (), None)


@pytest.mark.parametrize("dtype", ["u1", "i8", "f4", "f8"])
def test_without_a_promise_nothing_is_quantised(dtype):
    found = rules(Guarantee(nonfinite="keep"), dtype, ANYTHING, 0.0)
    assert found.residual_steps == found.quantised_steps == ()
    assert found.quantised_dtype is None


def test_steps_for_a_psnr_keep_it_if_errors_are_uniform():
    found = rules(psnr(40, 50.0), "f4", FIELD)
    allowed = found.max_squared_error
    assert allowed == pytest.approx(50**2 * 1e-4)
    coarse, fine = found.quantised_steps
    assert 0.99 * allowed < coarse**2 / 12 <= allowed
    assert fine / 2 <= math.sqrt(allowed)
    assert all(r < q for r, q in zip(found.residual_steps, found.quantised_steps, strict=True))


@pytest.mark.parametrize("error", [2, 7, 25, 200])
def test_the_lowest_value_comes_back_as_it_is(error):
    found = rules(within(error), "u1", BYTES)
    steps_up = (found.base - BYTES.low) / found.quantised_steps[0]
    assert steps_up == round(steps_up)


def test_the_base_is_a_sample_and_lies_amid_the_data():
    for survey, dtype, error in (
        (Survey(0.0, 255.0, 0, ()), "u1", 1.0),
        (Survey(-3.0, 4.0, 0, ()), "i4", 1.0),
        (FIELD, "f2", 1.0),
        (Survey(0.1, 0.2, 0, ()), "f4", 1.0),
        (Survey(-1.7e308, 1.7e308, 0, ()), "f8", 1e305),
    ):
        base = rules(within(error), dtype, survey).base
        assert survey.low <= base <= survey.high
        assert float(np.dtype(dtype).type(base)) == base
