"""Linear maps that start at the principal directions, each beside a small network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from engine.training.architectures.architecture import Architecture, Distortion
from engine.training.architectures.bounded import UNBOUNDED, Bounded, Bounds
from engine.training.architectures.logistic_mixture import LogisticMixture

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


class Transform(Architecture):
    """A nonlinear transform, trained for the price of its bits and the error of its samples.

    Latents are in the samples' unit and are coded as integers of one `step`; a bit costs `price`.
    Noise stands for rounding while it trains.

    Source: Balle, Laparra and Simoncelli, "End-to-end optimized image compression", 2017.
    """

    summary = "linear maps that start at the KLT, each beside a small network, trained for a rate"

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
                *([] if bounds == UNBOUNDED else [Bounded(bounds)]),
            ),
        )
        self.prior = LogisticMixture(deviations / step)
        self.step, self.price = step, price

    def training_loss(self, batch: Tensor, distortion: Distortion) -> Tensor:
        """Squared error of a sample plus the price of its bits; noisy only while it trains."""
        latents = self.encoder(batch).float() / self.step
        noise = torch.rand_like(latents) - 0.5
        coded = latents + noise if self.training else torch.round(latents)
        error = batch[0].numel() * distortion(self.decoder(coded * self.step), batch)
        return error + self.price * self.prior.bits(coded).mean()

    def validation_loss(self, batch: Tensor, distortion: Distortion) -> Tensor:
        """Return the same of integers."""
        return self.training_loss(batch, distortion)

    def start_at(self, mean: Tensor) -> None:
        """Stay at the linear codec, which has its mean."""

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
