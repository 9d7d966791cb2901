"""What the kernels take: arrays of the host or of a device."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Array(Protocol):
    """Anything with a shape and a dtype, of NumPy or of torch."""

    @property
    def shape(self) -> Sequence[int]:
        """Length of each axis."""

    @property
    def dtype(self) -> Any:
        """A dtype of NumPy or of torch."""


class DeviceArray(Array, Protocol):
    """A C-contiguous array in device memory: a torch tensor, or a wrapper of any other."""

    def data_ptr(self) -> int:
        """Return the address of the first element."""


def dtype_of(array: Array) -> np.dtype[Any]:
    """Return NumPy's dtype for that of `array`."""
    return np.dtype(str(array.dtype).removeprefix("torch."))
