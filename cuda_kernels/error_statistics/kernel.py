"""The error statistics of `reference`, on a CUDA device, in Triton."""

# The arguments of a kernel have no Python types.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from typing import Any, Protocol

import numpy as np
import triton
import triton.language as tl

from cuda_kernels.error_statistics.reference import Shaped, check_shapes, clip_range

BLOCK_ELEMENTS = 1024


class DeviceArray(Shaped, Protocol):
    """A C-contiguous array in device memory: a torch tensor, or a wrapper of any other."""

    @property
    def dtype(self) -> Any:
        """A dtype of NumPy or of torch."""

    def data_ptr(self) -> int:
        """Return the address of the first element."""


@triton.jit
def round_half_even(y):
    """Return float64 `y` rounded to an integer, in float64."""
    # From 2**52 on a float64 has no fraction: adding 2**52 rounds it away, half to even.
    magnitude = tl.abs(y)
    whole = (magnitude + 4503599627370496.0) - 4503599627370496.0
    whole = tl.where(magnitude < 4503599627370496.0, whole, magnitude)
    return tl.where(y < 0, -whole, whole)


@triton.jit
def finish(y, dtype: tl.constexpr, low: tl.constexpr, high: tl.constexpr):
    """Return float64 `y` as the reader's `dtype` would hold it, in float64."""
    if low is None:
        finished = y.to(dtype).to(tl.float64)
    else:
        # As bare floats the limits would become float32 here, and 2**32 - 1 would become 2**32.
        smallest = tl.full((), low, tl.float64)
        largest = tl.full((), high, tl.float64)
        number = tl.where(y == y, y, 0.0)  # noqa: PLR0124 (false for NaN)
        finished = round_half_even(tl.maximum(tl.minimum(number, largest), smallest))
    return finished


@triton.jit
def error_statistics_kernel(
    reconstruction,
    samples,
    max_abs_error,
    sum_squared_error,
    elements: tl.int64,  # so that every offset below is int64
    low: tl.constexpr,
    high: tl.constexpr,
    block: tl.constexpr,
):
    """Reduce one sample in each program."""
    sample = tl.program_id(0)
    worst_bits = tl.zeros((block,), tl.int64)
    total = tl.zeros((block,), tl.float64)
    for start in range(0, elements, block):
        column = start + tl.arange(0, block)
        offset = sample * elements + column
        x = tl.load(samples + offset, mask=column < elements, other=0)
        y = tl.load(reconstruction + offset, mask=column < elements, other=0)
        error = tl.abs(finish(y.to(tl.float64), x.dtype, low, high) - x.to(tl.float64))
        total += error * error
        # As integers the bits of non-negative floats order as the floats do, NaN above infinity.
        worst_bits = tl.maximum(worst_bits, error.to(tl.int64, bitcast=True))
    tl.store(max_abs_error + sample, tl.max(worst_bits, 0).to(tl.float64, bitcast=True))
    tl.store(sum_squared_error + sample, tl.sum(total, 0))


def error_statistics(
    reconstruction: DeviceArray,
    samples: DeviceArray,
    max_abs_error: DeviceArray,
    sum_squared_error: DeviceArray,
) -> None:
    """Measure on the device how far each finished sample lies from the raw one.

    Shapes, dtypes and results are those of the reference; all four arrays lie on the current
    device. The work is queued on torch's current stream: wait for it before reading the results.
    Raises ValueError where shapes don't agree.
    """
    check_shapes(reconstruction, samples, max_abs_error, sum_squared_error)
    n, elements = samples.shape
    if n == 0:
        return  # CUDA refuses an empty grid
    low, high = clip_range(np.dtype(str(samples.dtype).removeprefix("torch.")))
    error_statistics_kernel[(n,)](
        reconstruction,
        samples,
        max_abs_error,
        sum_squared_error,
        elements,
        low,
        high,
        block=BLOCK_ELEMENTS,
        enable_fp_fusion=False,
    )
