"""What architectures trained for a rate have in common: a prior, and the price of a bit."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from engine.training.architectures.architecture import Architecture, Distortion
from engine.training.architectures.logistic_mixture import LogisticMixture
from engine.training.architectures.residual_rate import ResidualRate
from engine.training.blocks import block_rows


class Rated(Architecture):
    """Networks that are trained for the price of their bits and the error of their samples.

    Latents `(batch, channels, *grid)` are in the samples' unit and are coded as integers of one
    `step`, by a density for each channel; a bit costs `price`.

    Source: Balle, Laparra and Simoncelli, "End-to-end optimized image compression", 2017; noise
    for the rate and rounding for the error are of Minnen and Singh, "Channel-wise autoregressive
    entropy models for learned image compression", 2020.
    """

    decodes_noise: ClassVar[bool] = False
    """Whether noise stands for rounding before the decoder, too, while it trains."""

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        deviations: Tensor,
        step: float,
        price: float,
        residual_step: float | None = None,
    ) -> None:
        """The latents' density starts as wide as `deviations` `(channels,)`.

        Where residuals of a step bound the error, it is their bits that count, not the error.
        """
        super().__init__(encoder, decoder)
        self.prior = LogisticMixture(deviations / step)
        self.step, self.price = step, price
        self.residuals = None if residual_step is None else ResidualRate(residual_step)

    @property
    def decoder_weights(self) -> int:
        """How many weights the decoder has."""
        return sum(weight.numel() for weight in self.decoder.parameters())

    def training_loss(self, batch: Tensor, distortion: Distortion) -> Tensor:
        """Squared error of a sample plus the price of its bits, those of residuals if any.

        While it trains, noise stands for rounding where bits are counted. The decoder may see
        integers, whose gradients pass unchanged: of the many latents that are nearly always zero,
        noise would be all that it sees.
        """
        latents = self.encoder(batch).float() / self.step
        rounded = latents + (torch.round(latents) - latents).detach()
        coded = latents + torch.rand_like(latents) - 0.5 if self.training else rounded
        decoded = self.decoder((coded if self.decodes_noise else rounded) * self.step)
        bits = self.prior.bits(block_rows(coded)).sum() / len(batch)
        if self.residuals is not None:
            return self.price * (bits + self.residuals.bits(decoded - batch))
        return batch[0].numel() * distortion(decoded, batch) + self.price * bits

    def validation_loss(self, batch: Tensor, distortion: Distortion) -> Tensor:
        """Return the same of integers."""
        return self.training_loss(batch, distortion)

    def start_at(self, mean: Tensor) -> None:
        """Stay at the linear codec, which has its mean."""
