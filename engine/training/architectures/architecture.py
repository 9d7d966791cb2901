"""What every architecture is: an encoder, a decoder and the loss that trains them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from engine.training.architectures.layers import CentredVector, UnitSample

Distortion = Callable[[Tensor, Tensor], Tensor]
"""Maps reconstructions and targets, both `(batch, *network_shape)`, to one number."""


class Architecture(nn.Module):
    """An autoencoder of samples `(batch, *network_shape)`, float32, mostly within [0, 1].

    A subclass takes `(network_shape, latent_dim)` and its own options by keyword; an option's
    default tells its type. `encoder` and `decoder` are what is exported.
    """

    summary: ClassVar[str]
    learning_rate: ClassVar[float]

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, batch: Tensor) -> Tensor:
        """Reconstruct samples as the codec will: without noise."""
        reconstruction: Tensor = self.decoder(self.encoder(batch))
        return reconstruction

    def training_loss(self, batch: Tensor, distortion: Distortion) -> Tensor:
        """Return what training minimises on one batch."""
        return distortion(self(batch), batch)

    def validation_loss(self, batch: Tensor, distortion: Distortion) -> Tensor:
        """Return what tells which epoch is the best, of a held-out batch."""
        return distortion(self(batch), batch)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the optimiser's groups: `params`, and `weight_decay` where it isn't 0.

        `pace` is a group's learning rate over that of the run, where it isn't 1.
        """
        return [{"params": list(self.parameters())}]

    def start_at(self, mean: Tensor) -> None:
        """Start at the mean sample of the training data, shape `network_shape`."""
        for layer in self.modules():
            if isinstance(layer, CentredVector | UnitSample):
                layer.start_at(mean)
