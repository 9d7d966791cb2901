"""What the residuals cost that keep the error of each element within a bound."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.training.architectures.logistic_mixture import LogisticMixture


class ResidualRate(nn.Module):
    """Bits of residuals, integers of one `step`, by a density that all elements share.

    It is taken of errors before they are rounded: nearly nothing within half a step of 0, so that
    only what leaves the bound pulls.
    """

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step
        self.prior = LogisticMixture(torch.full((1,), 0.3))

    def bits(self, errors: Tensor) -> Tensor:
        """Return the mean bits of a sample with `errors` `(batch, ...)`."""
        residuals = errors.float().reshape(-1, 1) / self.step
        return self.prior.bits(residuals).sum() / len(errors)
