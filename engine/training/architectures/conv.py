"""Strided convolutions and a linear layer, mirrored by transposed convolutions."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from torch import nn

from engine.errors import InvalidInput
from engine.training.architectures.architecture import Architecture
from engine.training.architectures.layers import UnitInterval, initialise

HALVINGS = 3
CONVOLUTIONS: dict[int, tuple[Callable[..., nn.Module], Callable[..., nn.Module]]] = {
    1: (nn.Conv1d, nn.ConvTranspose1d),
    2: (nn.Conv2d, nn.ConvTranspose2d),
    3: (nn.Conv3d, nn.ConvTranspose3d),
}


class Conv(Architecture):
    """Three convolutions that halve each spatial axis, then a linear layer; mirrored back.

    For samples `(channels, *spatial)` with one to three spatial axes of any size. `channels` is
    the width after the first convolution; each further one doubles it.
    """

    summary = "three strided convolutions and a linear layer, for signals, images and volumes"
    learning_rate = 1e-2

    def __init__(
        self, network_shape: tuple[int, ...], latent_dim: int, *, channels: int = 8
    ) -> None:
        if len(network_shape) - 1 not in CONVOLUTIONS:
            raise InvalidInput(
                f"arch 'conv' takes samples with one to three spatial axes beside the channels, "
                f"these are {network_shape} to the network: use arch 'dense' or 'deep'"
            )
        widths = [network_shape[0], *(channels << level for level in range(HALVINGS))]
        shapes = [network_shape[1:]]
        for _ in range(HALVINGS):
            shapes.append(tuple((size + 1) // 2 for size in shapes[-1]))
        encoder = _encoder(widths, shapes, latent_dim)
        super().__init__(initialise(encoder), initialise(_decoder(widths, shapes, latent_dim)))


def _encoder(widths: list[int], shapes: list[tuple[int, ...]], latent_dim: int) -> nn.Sequential:
    convolution, _ = CONVOLUTIONS[len(shapes[0])]
    layers: list[nn.Module] = []
    for inner, outer in pairwise(widths):
        layers += [convolution(inner, outer, kernel_size=3, stride=2, padding=1), nn.SiLU()]
    features = widths[-1] * math.prod(shapes[-1])
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, latent_dim))


def _decoder(widths: list[int], shapes: list[tuple[int, ...]], latent_dim: int) -> nn.Sequential:
    _, transposed = CONVOLUTIONS[len(shapes[0])]
    smallest = (widths[-1], *shapes[-1])
    layers: list[nn.Module] = [
        nn.Linear(latent_dim, math.prod(smallest)),
        nn.Unflatten(1, smallest),
    ]
    for level in reversed(range(HALVINGS)):
        # An axis of even size lost nothing when halved, an odd one was rounded up.
        missing = tuple(1 - size % 2 for size in shapes[level])
        layers += [
            nn.SiLU(),
            transposed(
                widths[level + 1],
                widths[level],
                kernel_size=3,
                stride=2,
                padding=1,
                output_padding=missing,
            ),
        ]
    return nn.Sequential(*layers, UnitInterval())
