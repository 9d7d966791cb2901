"""How large a transform's networks may be: as large as what they save pays for."""

from engine.training.rate import RatePoint
from engine.training.units import MOST_UNITS, choose_units

LINEAR = RatePoint(1.0, 95, 150.0, 20.7, 6.7)


def test_many_samples_get_the_largest_and_few_get_none():
    assert choose_units(LINEAR, 784, 1e9) == MOST_UNITS
    assert choose_units(LINEAR, 784, 1000) == 0


def test_between_them_smaller_ones_pay():
    chosen = [choose_units(LINEAR, 784, samples) for samples in (1e3, 6e3, 3e4, 1e6)]
    assert chosen == sorted(chosen)
    assert 0 < chosen[1] < MOST_UNITS


def test_residuals_are_worth_saving_too():
    bounded = RatePoint(1.0, 95, 150.0, 20.7, 6.7, residual_bits=1500.0)
    assert choose_units(bounded, 784, 2000) > choose_units(LINEAR, 784, 2000)
