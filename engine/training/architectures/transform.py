"""Linear maps that start at the principal directions, each beside a small network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from engine.training.architectures.bounded import UNBOUNDED, Bounds, bounded
from engine.training.architectures.rated import Rated

_WEIGHT_DECAY = 0.7
_UNIT_PACE = 0.75  # of what is in steps, over the step in the samples' unit
_SMALL = 0.01


LinearModules = tuple[tuple[nn.Module, nn.Linear], tuple[nn.Linear, nn.Module]]
"""Centring and a linear map; a linear map and the shape of a sample."""


class Perceptron(nn.Module):
    """One hidden GELU layer, whose output starts small."""

    def __init__(self, inputs: int, units: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, units)
        self.output = nn.Linear(units, outputs)
        with torch.no_grad():
            self.output.weight.mul_(_SMALL)
            self.output.bias.zero_()

    def forward(self, values: Tensor) -> Tensor:
        """Map `(batch, inputs)` to `(batch, outputs)`."""
        result: Tensor = self.output(nn.functional.gelu(self.hidden(values)))
        return result


class Analysis(nn.Module):
    """Latents by a linear map, corrected by a perceptron.

    It sees the sample, and the latents each in its own deviation: of smooth fields the sample alone
    tells it hardly more than the largest of them.
    """

    inverse: Tensor

    def __init__(self, linear: nn.Linear, deviations: Tensor, units: int) -> None:
        super().__init__()
        self.linear = linear
        self.register_buffer("inverse", 1 / deviations.clamp_min(1))
        channels = linear.out_features
        self.perceptron = Perceptron(linear.in_features + channels, units, channels)

    def forward(self, values: Tensor) -> Tensor:
        """Map `(batch, elements)` to `(batch, channels)`."""
        latents: Tensor = self.linear(values)
        seen = torch.cat([values, latents * self.inverse], 1)
        corrected: Tensor = latents + self.perceptron(seen)
        return corrected


class Synthesis(nn.Module):
    """Elements by a linear map of latents, corrected by a perceptron."""

    def __init__(self, linear: nn.Linear, units: int) -> None:
        super().__init__()
        self.linear = linear
        self.perceptron = Perceptron(linear.in_features, units, linear.out_features)

    def forward(self, latents: Tensor) -> Tensor:
        """Map `(batch, channels)` to `(batch, elements)`."""
        elements: Tensor = self.linear(latents) + self.perceptron(latents)
        return elements


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
        *,
        units: int,
        bounds: Bounds = UNBOUNDED,
        residual_step: float | None = None,
    ) -> None:
        """Start at a linear codec, whose latents have `deviations` `(channels,)`.

        Each perceptron has so many hidden units. Samples keep within `bounds`, as the network sees
        them. Where residuals of a step bound the error of each element, their bits count in place
        of the squared error.
        """
        (centred, forward), (back, unflatten) = klt
        with torch.no_grad():  # in steps, so that it learns as fast at any rate
            forward.weight.div_(step)
            back.weight.mul_(step)
        spread = deviations / step
        analysis, synthesis = Analysis(forward, spread, units), Synthesis(back, units)
        super().__init__(
            nn.Sequential(centred, analysis, Scaled(step)),
            nn.Sequential(
                Scaled(1 / step),
                synthesis,
                unflatten,
                *bounded(bounds),
            ),
            deviations,
            step,
            price,
            residual_step,
        )
        self._corrected = analysis, synthesis

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What is in the samples' unit learns at the rate given, what is in steps equally at any.

        Only the perceptrons decay: the linear maps are right from the start.
        """
        analysis, synthesis = self._corrected
        in_steps = [
            *analysis.perceptron.parameters(),
            *synthesis.perceptron.hidden.parameters(),
        ]
        in_unit = synthesis.perceptron.output.parameters()
        densities = list(self.prior.parameters())
        if self.residuals is not None:
            densities += self.residuals.parameters()
        pace = _UNIT_PACE / self.step
        return [
            {"params": [*analysis.linear.parameters(), *synthesis.linear.parameters()]},
            {"params": list(in_unit), "weight_decay": _WEIGHT_DECAY},
            {"params": in_steps, "weight_decay": _WEIGHT_DECAY, "pace": pace},
            {"params": densities, "pace": pace},
        ]
