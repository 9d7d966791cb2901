"""What encoding a batch gives: latents, and how far their decoding lies from the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MeasuredBatch:
    """Latents `(n, *latent_shape)`, and float64 `(n,)` max abs error and sum of squared errors."""

    latents: NDArray[Any]
    max_abs_error: NDArray[np.float64]
    sum_squared_error: NDArray[np.float64]
