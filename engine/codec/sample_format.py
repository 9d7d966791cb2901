"""What a sample is in the dataset, and what the network sees of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidInput

Channels = Literal["first", "last", "none"]
MAX_CHANNELS = 4
MAX_AXES = 12
DTYPES = {
    dtype.name: dtype
    for dtype in map(np.dtype, ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"))
}


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
        check_shape("samples", self.shape)
        check_shape("the network's samples", self.network_shape)
        if self.dtype not in DTYPES.values() or not isinstance(self.channels_last, bool):
            raise InvalidInput(f"expected a dtype of {', '.join(DTYPES)}, found {self.dtype}")
        moved = self.axis_order and tuple(self.shape[axis] for axis in self.axis_order)
        if (moved and moved != self.network_shape) or (
            math.prod(self.shape) != math.prod(self.network_shape)
        ):
            raise InvalidInput(
                f"the network takes samples of shape {self.network_shape}, "
                f"which samples of shape {self.shape} can't be brought to"
            )
        self._check_ranges()

    def _check_ranges(self) -> None:
        """Refuse a map between the ranges that the working dtype can't compute."""
        limits = np.finfo(self.working_dtype)
        smallest, largest = float(limits.tiny), float(limits.max)
        for low, high in (self.data_range, self.network_range):
            if not (is_finite(low) and is_finite(high) and low <= high):
                raise InvalidInput(f"expected a range of finite numbers, found {(low, high)}")
        if self.data_range[0] < self.data_range[1] and not (
            self.network_range[0] < self.network_range[1]
            and smallest <= self.scale <= largest
            and smallest <= 1 / self.scale <= largest
            and abs(self.offset) <= largest
        ):
            raise InvalidInput(
                f"{self.dtype} values of the range {self.data_range} can't be mapped onto "
                f"{self.network_range} in {self.working_dtype}; rescale the data"
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
        with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, as in the graph
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
        InvalidInput: `channels` is unknown, or names an axis that a vector doesn't have.
    """
    if channels not in ("auto", *get_args(Channels)):
        raise InvalidInput(f"channels must be auto, first, last or none, got {channels!r}")
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


def check_shape(what: str, shape: tuple[int, ...]) -> None:
    """Refuse a shape that no array of elements has.

    Raises:
        InvalidInput: it isn't made of positive integers, or of more than `MAX_AXES`.
    """
    if len(shape) > MAX_AXES:
        raise InvalidInput(f"expected {what} of at most {MAX_AXES} axes, found {len(shape)}")
    if not shape or not all(is_integer(size) and size > 0 for size in shape):
        raise InvalidInput(f"expected {what} of positive sizes, found shape {shape}")


def is_integer(value: object) -> bool:
    """Whether `value` is an integer, which to Python True is, too."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_finite(value: float, limit: float = float(np.finfo(np.float64).max)) -> bool:
    """Whether `value` is a number, and not beyond `limit` either way."""
    return (is_integer(value) or isinstance(value, float)) and -limit <= value <= limit
