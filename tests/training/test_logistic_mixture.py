import math

import pytest
import torch

from engine.training.architectures.logistic_mixture import LogisticMixture


def test_probabilities_of_all_integers_sum_to_one():
    prior = LogisticMixture(torch.tensor([0.05, 1.0, 20.0]))
    integers = torch.arange(-2000.0, 2001)
    for channel in range(3):
        alone = LogisticMixture(torch.tensor([0.05, 1.0, 20.0])[channel : channel + 1])
        bits = alone.bits(integers[:, None])
        assert torch.exp2(-bits).sum().item() == pytest.approx(1, abs=1e-3)
    assert prior.bits(torch.zeros(5, 3)).shape == (5,)


def test_bits_are_those_of_the_bins_of_a_logistic_density():
    prior = LogisticMixture(torch.ones(1))
    with torch.no_grad():
        prior.centres.fill_(0.3)
        prior.log_widths.fill_(math.log(0.7))

    def below(value):
        return 1 / (1 + math.exp(-(value - 0.3) / 0.7))

    for value in (-3.0, 0.0, 2.0):
        expected = -math.log2(below(value + 0.5) - below(value - 0.5))
        assert prior.bits(torch.tensor([[value]])).item() == pytest.approx(expected, rel=1e-4)


def test_values_far_outside_cost_much_but_finitely():
    prior = LogisticMixture(torch.full((2,), 0.01))
    bits = prior.bits(torch.tensor([[1e4, -1e4]]))
    assert 40 < bits.item() < 100


def test_it_learns_what_a_channel_costs():
    torch.manual_seed(0)
    latents = torch.round(3 * torch.randn(4000, 1) + 4)
    prior = LogisticMixture(torch.ones(1))
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        prior.bits(latents).mean().backward()
        optimizer.step()
    _, counts = torch.unique(latents, return_counts=True)
    shares = counts / len(latents)
    entropy = -(shares * torch.log2(shares)).sum().item()
    assert prior.bits(latents).mean().item() == pytest.approx(entropy, rel=0.02)
