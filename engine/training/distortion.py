"""How far a reconstruction lies from its target."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.training.architectures import Distortion


def mean_squared_error(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Mean over all elements of the squared difference."""
    return F.mse_loss(reconstruction.float(), target)


def binary_cross_entropy(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Mean over all elements of the cross entropy, nats, both taken as probabilities.

    Values that leave [0, 1] count as its nearer end. Its minimum isn't 0 but the entropy of the
    targets.
    """
    with torch.autocast(target.device.type, enabled=False):
        return F.binary_cross_entropy(reconstruction.float().clamp(0, 1), target.clamp(0, 1))


DISTORTIONS: dict[str, Distortion] = {"mse": mean_squared_error, "bce": binary_cross_entropy}
