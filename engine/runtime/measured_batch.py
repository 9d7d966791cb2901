"""What encoding a batch gives: latents, and how far their decoding lies from the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.codec.manifest import LatentFormat

Errors = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class MeasuredBatch:
    """Room for latents `(n, *latent_shape)`, and for float64 `(n,)` errors if they are measured.

    `errors` are the max abs error and the sum of squared errors of each sample.
    """

    latents: NDArray[Any]
    errors: Errors | None

    @classmethod
    def empty(cls, count: int, latent: LatentFormat, *, measured: bool) -> Self:
        """Room for so many samples."""
        errors = (np.empty(count), np.empty(count)) if measured else None
        return cls(np.empty((count, *latent.shape), latent.dtype), errors)

    def __getitem__(self, rows: slice) -> MeasuredBatch:
        """The room of some of the samples."""
        errors = None if self.errors is None else (self.errors[0][rows], self.errors[1][rows])
        return MeasuredBatch(self.latents[rows], errors)
