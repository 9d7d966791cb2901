"""The error statistics of `reference`, on a CUDA device, in Triton."""

# The arguments of a kernel have no Python types.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import math

import triton
import triton.language as tl

from cuda_kernels.array import DeviceArray, dtype_of
from cuda_kernels.error_statistics.reference import check_shapes, clip_range
from cuda_kernels.launch import launch_options


@triton.jit
def round_half_even(y):
    """Return float64 `y` rounded to an integer, in float64."""
    # From 2**52 on a float64 has no fraction: adding 2**52 rounds it away, half to even.
    magnitude = tl.abs(y)
    whole = (magnitude + 4503599627370496.0) - 4503599627370496.0
    whole = tl.where(magnitude < 4503599627370496.0, whole, magnitude)
    return tl.where(y < 0, -whole, whole)


@triton.jit
def as_read(y, dtype: tl.constexpr, low: tl.constexpr, high: tl.constexpr):
    """Return float64 `y` as the reader's `dtype` would hold it, in float64."""
    if low is None:
        value = y.to(dtype).to(tl.float64)
    else:
        # As bare floats the limits would become float32 here, and 2**32 - 1 would become 2**32.
        smallest = tl.full((), low, tl.float64)
        largest = tl.full((), high, tl.float64)
        number = tl.where(y == y, y, 0.0)  # noqa: PLR0124 (false for NaN)
        value = round_half_even(tl.maximum(tl.minimum(number, largest), smallest))
    return value


@triton.jit
def finish_kernel(
    reconstruction,
    samples,
    elements: tl.int64,  # so that every offset below is int64
    low: tl.constexpr,
    high: tl.constexpr,
    block: tl.constexpr,
):
    """Finish one block in each program."""
    offset = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    y = tl.load(reconstruction + offset, mask=offset < elements, other=0).to(tl.float64)
    value = as_read(y, samples.dtype.element_ty, low, high)
    tl.store(samples + offset, value, mask=offset < elements)


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
        error = tl.abs(as_read(y.to(tl.float64), x.dtype, low, high) - x.to(tl.float64))
        total += error * error
        # As integers the bits of non-negative floats order as the floats do, NaN above infinity.
        worst_bits = tl.maximum(worst_bits, error.to(tl.int64, bitcast=True))
    tl.store(max_abs_error + sample, tl.max(worst_bits, 0).to(tl.float64, bitcast=True))
    tl.store(sum_squared_error + sample, tl.sum(total, 0))


def finish(reconstruction: DeviceArray, samples: DeviceArray) -> None:
    """Write on the device the samples that a reader gets for what the decoder returned.

    `samples` has the shape of `reconstruction` and the dtype that the reference is asked for; the
    values are the reference's. Both arrays lie on the current device. The work is queued on torch's
    current stream: wait for it before reading the result. Raises ValueError where shapes don't
    agree.
    """
    shapes = tuple(reconstruction.shape), tuple(samples.shape)
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"finish: expected two arrays of one shape, found {shapes[0]}, {shapes[1]}"
        )
    elements = math.prod(samples.shape)
    if elements == 0:
        return  # CUDA refuses an empty grid
    options = launch_options(elements)
    programs = triton.cdiv(elements, options["block"])
    limits = clip_range(dtype_of(samples))
    finish_kernel[(programs,)](reconstruction, samples, elements, *limits, **options)


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
    error_statistics_kernel[(n,)](
        reconstruction,
        samples,
        max_abs_error,
        sum_squared_error,
        elements,
        *clip_range(dtype_of(samples)),
        **launch_options(elements),
    )
