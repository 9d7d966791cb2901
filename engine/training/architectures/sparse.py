"""A sparse autoencoder: few latents of a sample are active."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from engine.errors import InvalidInput
from engine.training.architectures.architecture import Architecture, Distortion
from engine.training.architectures.layers import CentredVector, UnitSample, initialise


class Sparse(Architecture):
    """One linear layer each way, with a penalty on how active the latents are.

    `l1` weighs the mean magnitude of the latents, which are ReLU. Where `kl` is above 0 they are
    sigmoid instead, and it weighs the divergence of each one's mean over the batch from
    `activity`.

    Source: Ng, "Sparse autoencoder", CS294A lecture notes, 2011 (KL).
    """

    summary = "one linear layer each way, few active latents (options l1, or kl and activity)"
    learning_rate = 1e-2

    def __init__(
        self,
        network_shape: tuple[int, ...],
        latent_dim: int,
        *,
        l1: float = 3e-3,
        kl: float = 0.0,
        activity: float = 0.05,
    ) -> None:
        if not 0 < activity < 1:
            raise InvalidInput(f"option activity must lie between 0 and 1, got {activity}")
        encoder = nn.Sequential(
            CentredVector(network_shape),
            nn.Linear(math.prod(network_shape), latent_dim),
            nn.Sigmoid() if kl > 0 else nn.ReLU(),
        )
        super().__init__(initialise(encoder), initialise(UnitSample(latent_dim, network_shape)))
        self.l1, self.kl, self.activity = l1, kl, activity

    def training_loss(self, batch: Tensor, distortion: Distortion) -> Tensor:
        """Distortion plus the penalty on activity."""
        latents = self.encoder(batch)
        penalty = self._divergence(latents.float()) if self.kl > 0 else latents.abs().mean()
        weight = self.kl if self.kl > 0 else self.l1
        return distortion(self.decoder(latents), batch) + weight * penalty

    def _divergence(self, latents: Tensor) -> Tensor:
        """Mean over the latents of KL(activity, mean activity in the batch), nats."""
        found = latents.mean(0).clamp(1e-6, 1 - 1e-6)
        wanted = torch.full_like(found, self.activity)
        on = wanted * torch.log(wanted / found)
        off = (1 - wanted) * torch.log((1 - wanted) / (1 - found))
        return (on + off).mean()
