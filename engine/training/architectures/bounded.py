"""Outputs that are held within bounds that the data keep, and still learn beyond them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

Bounds = tuple[float | None, float | None]
"""Least and largest value, each None where there is none."""

UNBOUNDED: Bounds = (None, None)


class Bounded(nn.Module):
    """Values cut off at bounds, as finished samples are.

    Where many elements lie at a bound, as the black of digits does, any value beyond it is right,
    and what the network learns by it can be spent elsewhere.
    """

    def __init__(self, bounds: Bounds) -> None:
        super().__init__()
        self.low, self.high = bounds

    def forward(self, values: Tensor) -> Tensor:
        """Cut off; while it trains, with gradients of what lies beyond but should not."""
        if not self.training:
            return torch.clamp(values, self.low, self.high)
        result: Tensor = _Cut.apply(values, self.low, self.high)  # type: ignore[no-untyped-call]
        return result


def bounded(bounds: Bounds) -> list[nn.Module]:
    """The layers that keep values within bounds: none where there are no bounds."""
    return [] if bounds == UNBOUNDED else [Bounded(bounds)]


class _Cut(torch.autograd.Function):
    """`clamp`, whose gradient vanishes only where it would lead further out."""

    @staticmethod
    def forward(context: Any, values: Tensor, low: float | None, high: float | None) -> Tensor:
        context.save_for_backward(values)
        context.bounds = low, high
        return torch.clamp(values, low, high)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (values,), (low, high), (gradient,) = context.saved_tensors, context.bounds, gradients
        outwards = torch.zeros_like(values, dtype=torch.bool)
        if low is not None:
            outwards |= (values < low) & (gradient > 0)
        if high is not None:
            outwards |= (values > high) & (gradient < 0)
        return gradient.masked_fill(outwards, 0), None, None
