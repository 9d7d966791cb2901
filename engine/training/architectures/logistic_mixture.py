"""What integers of latents cost: a density for each channel, learnt beside the networks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_COMPONENTS = 3
_LEAST_PROBABILITY = 1e-9


class LogisticMixture(nn.Module):
    """A mixture of three logistic distributions for each channel, integrated over integer bins.

    Source: Balle et al., "End-to-end optimized image compression", 2017, with the mixture of
    Salimans et al., "PixelCNN++", 2017.
    """

    def __init__(self, deviations: Tensor) -> None:
        """Start near zero, as wide as `deviations` `(channels,)`, in units of bins."""
        super().__init__()
        places = torch.linspace(-0.5, 0.5, _COMPONENTS)[:, None]
        self.centres = nn.Parameter(places * deviations)
        self.log_widths = nn.Parameter((deviations / 2 + 0.1).log().repeat(_COMPONENTS, 1))
        self.weights = nn.Parameter(torch.zeros_like(self.centres))

    def bits(self, latents: Tensor) -> Tensor:
        """Return the bits `(batch,)` of all channels of latents `(batch, channels)`, in bins."""
        # Of a symmetric density the lower side, where differences of sigmoids are precise.
        distance = (latents[:, None] - self.centres).abs()
        sharpness = torch.exp(-self.log_widths)
        near = torch.sigmoid((0.5 - distance) * sharpness)
        far = torch.sigmoid((-0.5 - distance) * sharpness)
        probability = ((near - far) * torch.softmax(self.weights, 0)).sum(1)
        return -probability.clamp_min(_LEAST_PROBABILITY).log().sum(1) / math.log(2)
