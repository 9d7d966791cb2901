"""Outputs within bounds: cut off as finished samples are, and still pulled back where wrong."""

import pytest
import torch

from engine.training.architectures.bounded import Bounded

VALUES = [-0.5, 0.25, 1.5]


def gradients(bounds, targets):
    values = torch.tensor(VALUES, requires_grad=True)
    layer = Bounded(bounds).train()
    torch.autograd.backward((layer(values) - torch.tensor(targets)).square().sum())
    return values.grad.tolist()


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [((0.0, 1.0), [0, 0.25, 1]), ((0.0, None), [0, 0.25, 1.5]), ((None, 1.0), [-0.5, 0.25, 1])],
)
def test_values_are_cut_off_in_training_and_after(bounds, expected):
    for layer in (Bounded(bounds).train(), Bounded(bounds).eval()):
        assert layer(torch.tensor(VALUES)).tolist() == expected


def test_beyond_a_bound_that_is_right_nothing_pulls():
    assert gradients((0.0, 1.0), [0.0, 0.0, 1.0]) == [0, 0.5, 0]


def test_beyond_a_bound_that_is_wrong_values_are_led_back():
    assert gradients((0.0, 1.0), [0.5, 0.25, 0.5]) == [-1, 0, 1]


def test_without_a_bound_gradients_are_those_of_the_error():
    assert gradients((0.0, None), [0.0, 0.25, 1.0]) == [0, 0, 1]
