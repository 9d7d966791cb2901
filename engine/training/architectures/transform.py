"""Linear maps that start at the principal directions, each beside a small network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from engine.training.architectures.bounded import UNBOUNDED, Bounds, bounded
from engine.training.architectures.rated import Rated

ENCODER_UNITS, DECODER_UNITS = 256, 512
_WEIGHT_DECAY = 0.7
_SMALL = 0.01


LinearModules = tuple[tuple[nn.Module, nn.Linear], tuple[nn.Linear, nn.Module]]
"""Centring and a linear map; a linear map and the shape of a sample."""


class ResidualPerceptron(nn.Module):
    """A linear map plus a perceptron of one hidden GELU layer, whose output starts small."""

    def __init__(self, linear: nn.Linear, units: int) -> None:
        super().__init__()
        self.linear = linear
        self.hidden = nn.Linear(linear.in_features, units)
        self.output = nn.Linear(units, linear.out_features)
        with torch.no_grad():
            self.output.weight.mul_(_SMALL)
            self.output.bias.zero_()

    def forward(self, values: Tensor) -> Tensor:
        """Map `(batch, in_features)` to `(batch, out_features)`."""
        added = self.output(nn.functional.gelu(self.hidden(values)))
        result: Tensor = self.linear(values) + added
        return result


class Scaled(nn.Module):
    """Values times a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        """Multiply."""
        return values * self.factor


class Transform(Rated):
    """A nonlinear transform of samples as vectors, trained for a rate."""

    summary = "linear maps that start at the KLT, each beside a small network, trained for a rate"
    decodes_noise = True

    def __init__(
        self,
        klt: LinearModules,
        deviations: Tensor,
        step: float,
        price: float,
        bounds: Bounds = UNBOUNDED,
    ) -> None:
        """Start at a linear codec, whose latents have `deviations` `(channels,)`.

        Samples keep within `bounds`, as the network sees them.
        """
        (centred, forward), (back, unflatten) = klt
        with torch.no_grad():  # in steps, so that it learns as fast at any rate
            forward.weight.div_(step)
            back.weight.mul_(step)
        super().__init__(
            nn.Sequential(centred, ResidualPerceptron(forward, ENCODER_UNITS), Scaled(step)),
            nn.Sequential(
                Scaled(1 / step),
                ResidualPerceptron(back, DECODER_UNITS),
                unflatten,
                *bounded(bounds),
            ),
            deviations,
            step,
            price,
        )

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Only the perceptrons decay: the linear maps are right from the start."""
        kinds: dict[str, list[nn.Parameter]] = {"linear": [], "perceptron": []}
        for part in (self.encoder, self.decoder):
            for name, weight in part.named_parameters():
                kinds["linear" if ".linear." in name else "perceptron"].append(weight)
        return [
            {"params": kinds["linear"]},
            {"params": kinds["perceptron"], "weight_decay": _WEIGHT_DECAY},
            {"params": list(self.prior.parameters())},
        ]
