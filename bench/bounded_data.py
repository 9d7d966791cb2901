"""What the benchmark of bounded codecs compresses; nothing of it is downloaded."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.digits import load_digits
from bench.fields import land_mask, turbulent_fields
from engine.geometry import plan_grid

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")  # the ones that scikit-image ships
PATCH = 32
FILL_VALUE = -9999.0
_INTEGER_BOUNDS = {"lossless": 0.0, "max-error 2": 2.0, "max-error 8": 8.0}
_RANGE_PERCENT = (0.01, 0.1, 1.0)


@dataclass(frozen=True)
class DataSet:
    """Samples, the bounds to hold, and what the codec is fitted on.

    `codec` names the principal components that are used, those of `fitted`; `fill_value` marks
    elements that are no data and must come back bit for bit.
    """

    name: str
    samples: NDArray[Any]
    codec: str
    fitted: NDArray[Any]
    components: int
    fill_value: float | None = None

    @cached_property
    def bounds(self) -> Mapping[str, float]:
        """Absolute bounds by name; 0 is lossless, a constant counts as its own range."""
        if self.samples.dtype.kind in "iu":
            return _INTEGER_BOUNDS
        valid = self.samples[np.isfinite(self.samples) & (self.samples != FILL_VALUE)]
        data_range = float(np.ptp(valid)) or float(abs(valid[0]))
        return {f"{percent} % of range": percent / 100 * data_range for percent in _RANGE_PERCENT}

    @property
    def chunk_samples(self) -> int:
        """Samples of a chunk of the store, one byte a component."""
        sample_bytes = self.samples[0].nbytes
        return plan_grid(len(self.samples), sample_bytes, self.components).chunk_samples


def data_sets() -> tuple[DataSet, ...]:
    """All of them; codecs are fitted on the first half of real data, and kept for noise.

    A network counts in full, so that few samples of many elements afford few components.
    """
    rng = np.random.default_rng(0)
    digits, _ = load_digits()
    fields = turbulent_fields(1500)
    land = np.broadcast_to(land_mask(), (300, *fields.shape[1:]))
    noise = rng.integers(0, 256, (1000, 28, 28), np.uint8)
    small = "digits", digits[: len(digits) // 2], 32
    large = "turbulence", fields[: len(fields) // 2], 16
    return (
        DataSet("digits", digits, *small),
        *_photographs(),
        DataSet("turbulence", fields, *large),
        *(
            DataSet(
                f"masked {fill:g}", np.where(land, np.float32(fill), fields[-300:]), *large,
                fill_value=fill,
            )
            for fill in (math.nan, FILL_VALUE)
        ),
        DataSet("noise uint8", noise, *small),
        DataSet("noise float32", rng.random((200, *fields.shape[1:]), np.float32), *large),
        DataSet("constant uint8", np.full_like(noise, 7), *small),
        DataSet("constant float32", np.full_like(fields[:300], 273.15), *large),
    )  # fmt: skip


def has_photographs() -> bool:
    """Whether the package that ships them is installed."""
    return importlib.util.find_spec("skimage") is not None


def _photographs() -> tuple[DataSet, ...]:
    if not has_photographs():
        return ()
    patches = photograph_patches()
    return (DataSet("photographs", patches, "photographs", patches[: len(patches) // 2], 8),)


def photograph_patches() -> NDArray[np.uint8]:
    """Patches `(n, 32, 32, 3)` of the photographs, one after the other, line by line."""
    import skimage.data

    return np.concatenate([_patches(getattr(skimage.data, name)()) for name in PHOTOGRAPHS])


def _patches(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows, columns = image.shape[0] // PATCH, image.shape[1] // PATCH
    cut = image[: rows * PATCH, : columns * PATCH].reshape(rows, PATCH, columns, PATCH, 3)
    return cut.swapaxes(1, 2).reshape(-1, PATCH, PATCH, 3)
