"""Networks as large as those of a codec trained for rate and distortion from a KLT.

On each side a linear layer, which starts at the principal components, and added to it a network of
one hidden layer, which starts at 0.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.principal_components import principal_pair

COMPONENTS = 96
ENCODER_HIDDEN = 256
DECODER_HIDDEN = 512


def klt_pair(
    samples: NDArray[Any], network_shape: tuple[int, ...]
) -> tuple[nn.Sequential, nn.Sequential]:
    """Encoder and decoder that start at the components of float32 samples `(n, ...)`."""
    rows = torch.from_numpy(samples.reshape(len(samples), -1))
    inwards, outwards = principal_pair(rows, COMPONENTS)
    return (
        nn.Sequential(nn.Flatten(), _Corrected(inwards, ENCODER_HIDDEN)),
        nn.Sequential(_Corrected(outwards, DECODER_HIDDEN), nn.Unflatten(1, network_shape)),
    )


class _Corrected(nn.Module):
    """A linear layer, and what a network of one hidden layer adds to it."""

    def __init__(self, linear: nn.Linear, hidden: int) -> None:
        super().__init__()
        self.linear = linear
        last = nn.Linear(hidden, linear.out_features)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.correction = nn.Sequential(nn.Linear(linear.in_features, hidden), nn.GELU(), last)

    def forward(self, batch: Tensor) -> Tensor:
        """Rows `(n, in)` to rows `(n, out)`."""
        result: Tensor = self.linear(batch) + self.correction(batch)
        return result
