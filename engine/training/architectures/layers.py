"""Layers that several architectures are made of, and how weights start."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class CentredVector(nn.Module):
    """A sample as a vector, less the mean of the training data.

    Without it the mean, which tells samples apart in nothing, outweighs all else that a linear
    layer learns from: dense networks then end several dB worse on data far from zero.
    """

    mean: Tensor

    def __init__(self, network_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(network_shape))

    def start_at(self, mean: Tensor) -> None:
        """Set the mean, shape `network_shape`."""
        self.mean.copy_(mean)

    def forward(self, batch: Tensor) -> Tensor:
        """Map `(batch, *network_shape)` to `(batch, features)`."""
        return (batch - self.mean).flatten(1)


class UnitInterval(nn.Module):
    """A sigmoid, in float32 even under mixed precision, whose bfloat16 would round to 1."""

    def forward(self, values: Tensor) -> Tensor:
        """Map any values to (0, 1)."""
        return torch.sigmoid(values.float())


class UnitSample(nn.Module):
    """A sample within (0, 1) from a vector: one linear layer and a sigmoid."""

    def __init__(self, features: int, network_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.linear = nn.Linear(features, math.prod(network_shape))
        self.interval = UnitInterval()
        self.network_shape = network_shape

    def start_at(self, mean: Tensor) -> None:
        """Return the sample `mean`, shape `network_shape`, for a vector of zeros."""
        with torch.no_grad():
            self.linear.bias.copy_(torch.logit(mean.clamp(0.01, 0.99)).flatten())

    def forward(self, vectors: Tensor) -> Tensor:
        """Map `(batch, features)` to `(batch, *network_shape)`."""
        samples: Tensor = self.interval(self.linear(vectors)).unflatten(1, self.network_shape)
        return samples


def initialise(network: nn.Module) -> nn.Module:
    """Start the weights of linear and convolutional layers so that signals keep their size.

    Source: He et al., "Delving Deep into Rectifiers", 2015, equation 10.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            fan_in = float(layer.weight[0].numel())
        elif isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            fan_in = layer.weight[:, 0].numel() / math.prod(layer.stride)
        else:
            continue
        nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_in))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return network
