"""What the ledger and the quality array record of a shard's samples, however they are kept."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from engine.quality import encode_errors, error_levels
from engine.runtime.measured_batch import Errors
from engine.runtime.value_range import value_range


class SourceFacts:
    """Digest and range of the raw samples of a shard, fed block by block, in order."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._digest = xxhash.xxh3_128()
        self._low, self._high = math.inf, -math.inf

    def add(self, samples: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> None:
        """Take the next samples into account; `missing` marks elements that have no value."""
        self._digest.update(samples.data)
        values = samples if missing is None or not missing.any() else samples[~missing]
        low, high = value_range(values)
        self._low, self._high = min(self._low, low), max(self._high, high)

    def fields(self) -> dict[str, Any]:
        """Fields of the ledger record."""
        return {
            "source_xxh3_128": np.frombuffer(self._digest.digest(), np.uint8),
            "data_min": self._low if self._low <= self._high else math.nan,
            "data_max": self._high if self._low <= self._high else math.nan,
        }


def error_fields(errors: Errors | None, elements: int) -> dict[str, Any]:
    """Fields of the ledger record for the errors of a shard's samples; NaN if not measured."""
    if errors is None:
        return dict.fromkeys(("max_abs_error", "worst_mse", "sum_squared_error"), math.nan)
    max_abs_error, sum_squared_error = errors
    return {
        "max_abs_error": max_abs_error.max(),
        "worst_mse": sum_squared_error.max() / elements,
        "sum_squared_error": sum_squared_error.sum(),
    }


def quality_codes(
    max_abs_error: NDArray[np.float64],
    sum_squared_error: NDArray[np.float64],
    elements: int,
    unit: float,
) -> NDArray[np.uint8]:
    """Codes `(n, 2)` of the errors `(n,)` of samples of `elements` elements."""
    levels = error_levels(unit)
    errors = (max_abs_error, np.sqrt(sum_squared_error / elements))
    return np.stack([encode_errors(values, levels) for values in errors], axis=1)
