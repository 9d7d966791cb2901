"""A variational autoencoder, whose encoder returns the mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.training.architectures.architecture import Distortion
from engine.training.architectures.deep import Deep


class Vae(Deep):
    """The dense layers of `deep`, trained on samples of a latent distribution.

    The divergence from the standard normal, in nats for each element of a sample, is weighted by
    `beta`: 1 with loss `bce` is the textbook's, smaller values keep more detail.

    Source: Kingma and Welling, "Auto-Encoding Variational Bayes", 2014; beta after Higgins et
    al., "beta-VAE", 2017.
    """

    summary = "variational: dense layers, latents close to a standard normal (option beta)"

    def __init__(
        self,
        network_shape: tuple[int, ...],
        latent_dim: int,
        *,
        beta: float = 0.01,
        hidden: int = 128,
        layers: int = 2,
    ) -> None:
        super().__init__(network_shape, latent_dim, hidden=hidden, layers=layers)
        self.log_variance = nn.Linear(hidden, latent_dim)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.constant_(self.log_variance.bias, -4.0)
        self.beta = beta

    def training_loss(self, batch: Tensor, distortion: Distortion) -> Tensor:
        """Distortion of a drawn latent, plus the weighted divergence."""
        hidden = self.encoder[:-1](batch)
        mean, log_variance = self.encoder[-1](hidden).float(), self.log_variance(hidden).float()
        drawn = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
        loss: Tensor = self.beta * divergence / batch.numel()
        return loss + distortion(self.decoder(drawn), batch)
