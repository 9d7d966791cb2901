"""The classic: one linear layer each way."""

from __future__ import annotations

import math

from torch import nn

from engine.training.architectures.architecture import Architecture
from engine.training.architectures.layers import CentredVector, UnitSample, initialise


class Dense(Architecture):
    """One linear layer each way, leaky ReLU latents, sigmoid output; samples of any shape."""

    summary = "one linear layer each way, for any shape; the fastest"
    learning_rate = 1e-2

    def __init__(self, network_shape: tuple[int, ...], latent_dim: int) -> None:
        encoder = nn.Sequential(
            CentredVector(network_shape),
            nn.Linear(math.prod(network_shape), latent_dim),
            nn.LeakyReLU(),
        )
        super().__init__(initialise(encoder), initialise(UnitSample(latent_dim, network_shape)))
