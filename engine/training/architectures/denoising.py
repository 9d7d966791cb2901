"""A denoising autoencoder: corrupted input, clean target."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.training.architectures.architecture import Distortion
from engine.training.architectures.deep import Deep


class Denoising(Deep):
    """The dense layers of `deep`, trained to remove Gaussian noise.

    `noise` is its standard deviation, where the range of the data is 1.

    Source: Vincent et al., "Extracting and Composing Robust Features with Denoising
    Autoencoders", 2008.
    """

    summary = "dense layers that also remove noise (option noise, a share of the data range)"

    def __init__(
        self,
        network_shape: tuple[int, ...],
        latent_dim: int,
        *,
        noise: float = 0.1,
        hidden: int = 128,
        layers: int = 2,
    ) -> None:
        super().__init__(network_shape, latent_dim, hidden=hidden, layers=layers)
        self.noise = noise

    def training_loss(self, batch: Tensor, distortion: Distortion) -> Tensor:
        """Distortion against the clean batch of what was made of a noisy one."""
        return distortion(self(batch + self.noise * torch.randn_like(batch)), batch)
