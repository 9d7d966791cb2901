import dataclasses
import math

import numpy as np
import pytest

from engine.errors import InvalidInput
from engine.training.rate import RatePoint
from engine.training.target import RateTarget, choose_target, price_of, step_of


def uniform(step):
    """A quantiser of high rate: 6 dB and 10 channels of one bit for each halving."""
    halvings = -math.log2(step)
    return RatePoint(step, 10, max(0.0, 50 + 10 * halvings), 30 + 6.0206 * halvings, step**2)


def test_a_psnr_is_met_by_the_coarsest_step_that_reaches_it():
    point = RateTarget(target_psnr=36).find(uniform, 1e-3, 10)
    assert 36 <= point.psnr_db < 36.01


def test_a_size_is_met_by_the_finest_step_that_fits():
    point = RateTarget(target_bytes=9).find(uniform, 1e-3, 10)
    assert 71.9 < point.bits_per_sample <= 72


def test_the_price_of_a_bit_is_what_one_more_bit_saves():
    step, bits = 0.3, 1e-4
    finer = step * 2**-bits
    saved = (step**2 - finer**2) / 12
    assert price_of(step) == pytest.approx(saved / bits, rel=1e-3)
    assert RateTarget(rate_lambda=price_of(step)).find(uniform, 1, 2).step == pytest.approx(step)
    assert step_of(price_of(0.7)) == pytest.approx(0.7)


def test_the_ends_of_the_range_count():
    assert RateTarget(target_psnr=1).find(uniform, 0.01, 2).step == 2
    assert RateTarget(target_bytes=1000).find(uniform, 0.5, 2).step == pytest.approx(0.5, rel=1e-4)
    with pytest.raises(
        InvalidInput, match=r"target_psnr 60 dB is out of reach: 10 channels .* low"
    ):
        RateTarget(target_psnr=60).find(uniform, 0.5, 2)


@pytest.mark.parametrize(
    ("target", "better", "worse"),
    [
        ({"target_psnr": 30}, (40, 0.5), (41, 0.3)),
        ({"target_bytes": 6}, (45, 0.3), (40, 0.5)),
        ({"rate_lambda": 0.01}, (40, 0.5), (60, 0.35)),
        ({"rate_lambda": 0.001}, (60, 0.35), (40, 0.5)),
    ],
)
def test_of_two_that_meet_it_the_better_one_costs_less(target, better, worse):
    points = [RatePoint(0.1, 9, bits, 30.0, error) for bits, error in (better, worse)]
    assert RateTarget(**target).prefers(*points)
    assert not RateTarget(**target).prefers(*reversed(points))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "expected one of target_psnr, target_bytes, rate_lambda, max_error, got none"),
        ({"target_psnr": 3, "rate_lambda": 1}, "got target_psnr, rate_lambda"),
        ({"target_bytes": 0}, "target_bytes must be a finite number above 0, got 0"),
        ({"rate_lambda": math.nan}, "rate_lambda must be a finite number above 0"),
    ],
)
def test_what_is_no_target_is_refused(given, message):
    with pytest.raises(InvalidInput, match=message):
        RateTarget(**given)


def test_without_a_target_it_is_30_db():
    assert choose_target(None, None, None) == RateTarget(target_psnr=30.0)
    assert choose_target(None, 4, None) == RateTarget(target_bytes=4)


def test_an_infinite_psnr_is_none_in_json():
    assert RatePoint(1.0, 2, 3.0, math.inf, 0.0).as_json()["psnr_db"] is None


def bounded(step):
    """Latents get cheaper with the step, residuals dearer; together they are least at 0.5."""
    return RatePoint(step, 1, 10 / step, 30.0, step**2, residual_bits=40 * step)


def test_under_a_bound_latents_and_residuals_together_are_least():
    point = RateTarget(max_error=1).find(bounded, 1e-3, 100)
    assert point.step == pytest.approx(0.5, rel=0.01)
    assert point.total_bits == pytest.approx(40, rel=1e-3)


@pytest.mark.parametrize(("dtype", "step"), [("float32", 5.0), ("uint8", 5.0), ("int16", 5.0)])
def test_residuals_are_as_far_apart_as_the_bound_allows(dtype, step):
    bound = 2.5 if dtype == "float32" else 2.9
    assert RateTarget(max_error=bound).residual_step(np.dtype(dtype)) == step


def test_a_decoder_that_is_shared_counts():
    light, heavy = uniform(1.0), dataclasses.replace(uniform(1.0), decoder_bits=3.0)
    for target in ({"target_psnr": 30}, {"target_bytes": 6}, {"rate_lambda": 0.1}):
        assert RateTarget(**target).prefers(light, heavy)
        assert not RateTarget(**target).prefers(heavy, light)
