"""What a sample is in the dataset, and what the network sees of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidInput

Channels = Literal["first", "last", "none"]
MAX_CHANNELS = 4


@dataclass(frozen=True)
class SampleFormat:
    """Shape and dtype of one sample, and the map from its values to the network's.

    The network sees float32 in `(batch, *network_shape)`: channels first, `data_range` mapped
    linearly onto `network_range`. A sample is `shape` and `dtype`, in physical units.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    network_shape: tuple[int, ...]
    data_range: tuple[float, float]
    network_range: tuple[float, float] = (0.0, 1.0)
    channels_last: bool = False

    def __post_init__(self) -> None:
        """Refuse formats that no network could be wrapped in."""
        moved = self.axis_order and tuple(self.shape[axis] for axis in self.axis_order)
        if (moved and moved != self.network_shape) or (
            math.prod(self.shape) != math.prod(self.network_shape)
        ):
            raise InvalidInput(
                f"the network takes samples of shape {self.network_shape}, "
                f"which samples of shape {self.shape} can't be brought to"
            )

    @property
    def size_bytes(self) -> int:
        """Bytes of one raw sample."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def axis_order(self) -> tuple[int, ...] | None:
        """Order of the sample's axes in the network, or None where a reshape will do."""
        return (len(self.shape) - 1, *range(len(self.shape) - 1)) if self.channels_last else None

    @property
    def scale(self) -> float:
        """Physical units per unit of the network's input."""
        (low, high), (bottom, top) = self.data_range, self.network_range
        return (high - low) / (top - bottom) if high > low else 1.0

    @property
    def offset(self) -> float:
        """The physical value that the network sees as 0."""
        return self.data_range[0] - self.network_range[0] * self.scale

    @property
    def working_dtype(self) -> np.dtype[Any]:
        """float32, or float64 for samples whose values float32 can't hold apart."""
        wide = self.dtype.itemsize > 4 or (self.dtype.kind in "iu" and self.dtype.itemsize > 2)
        return np.dtype(np.float64 if wide else np.float32)

    def to_network(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """Bring raw samples `(batch, *shape)` to what the network sees, as the graph does."""
        values = samples.astype(self.working_dtype)
        values = (values - self.working_dtype.type(self.offset)) * self.working_dtype.type(
            1 / self.scale
        )
        if self.axis_order is not None:
            values = values.transpose(0, *(axis + 1 for axis in self.axis_order))
        return np.ascontiguousarray(values, np.float32).reshape(-1, *self.network_shape)


def guess_channels(shape: tuple[int, ...]) -> Channels:
    """Where a sample keeps its channels: an outer axis of at most 4, the last one preferred."""
    if len(shape) < 2:
        return "none"
    if shape[-1] <= MAX_CHANNELS:
        return "last"
    return "first" if shape[0] <= MAX_CHANNELS else "none"


def network_view(
    shape: tuple[int, ...], channels: Channels | Literal["auto"] = "auto"
) -> tuple[tuple[int, ...], bool]:
    """Shape of a sample as `(channels, *spatial)`, and whether its channels were last.

    A vector stays `(features,)`.

    Raises:
        InvalidInput: `channels` names an axis that a vector doesn't have.
    """
    if channels == "auto":
        channels = guess_channels(shape)
    if channels == "none":
        return (shape if len(shape) == 1 else (1, *shape)), False
    if len(shape) < 2:
        raise InvalidInput(f"channels={channels!r} needs samples of two axes or more, got {shape}")
    return (shape, False) if channels == "first" else ((shape[-1], *shape[:-1]), True)


def default_data_range(dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """The dtype's range for uint8, whose values fill it; None where only the data can tell."""
    return (0.0, 255.0) if dtype == np.dtype(np.uint8) else None
