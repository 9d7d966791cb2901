"""Several dense layers each way."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import nn

from engine.training.architectures.architecture import Architecture
from engine.training.architectures.layers import CentredVector, UnitSample, initialise


class Deep(Architecture):
    """Dense layers each way with SiLU between them, sigmoid output; samples of any shape.

    `layers` hidden layers of `hidden` units lie on each side of the latents.
    """

    summary = "several dense layers each way, for any shape; strong on vectors"
    learning_rate = 4e-3
    encoder: nn.Sequential

    def __init__(
        self, network_shape: tuple[int, ...], latent_dim: int, *, hidden: int = 128, layers: int = 2
    ) -> None:
        sizes = [math.prod(network_shape), *[hidden] * layers, latent_dim]
        encoder = nn.Sequential(CentredVector(network_shape), *_dense_layers(sizes)[:-1])
        decoder = nn.Sequential(*_dense_layers(sizes[:0:-1]), UnitSample(hidden, network_shape))
        super().__init__(initialise(encoder), initialise(decoder))


def _dense_layers(sizes: list[int]) -> list[nn.Module]:
    """Linear layers through `sizes`, each followed by SiLU."""
    return [
        layer for inner, outer in pairwise(sizes) for layer in (nn.Linear(inner, outer), nn.SiLU())
    ]
