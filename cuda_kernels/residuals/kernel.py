"""The residuals of `reference`, on a CUDA device, in Triton."""

# The arguments of a kernel have no Python types.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import triton
import triton.language as tl

from cuda_kernels.array import DeviceArray, dtype_of
from cuda_kernels.error_statistics.kernel import as_read, round_half_even
from cuda_kernels.error_statistics.reference import clip_range
from cuda_kernels.launch import launch_options
from cuda_kernels.residuals.reference import (
    check_quantised,
    check_restored,
    limits,
    reciprocal,
)


@triton.jit
def restore_kernel(
    reconstruction,
    residuals,
    step,
    samples,
    blocks,
    elements: tl.int64,  # so that every offset below is int64
    row_stride: tl.int64,
    column_stride: tl.constexpr,
    low: tl.constexpr,
    high: tl.constexpr,
    block: tl.constexpr,
):
    """Restore one of the blocks of one sample in each program."""
    program = tl.program_id(0)
    sample = program // blocks
    column = (program % blocks).to(tl.int64) * block + tl.arange(0, block)
    decoded = reconstruction + sample * row_stride + column * column_stride
    offset = sample * elements + column
    y = tl.load(decoded, mask=column < elements, other=0).to(tl.float64)
    k = tl.load(residuals + offset, mask=column < elements, other=0).to(tl.float64)
    value = as_read(y + k * tl.load(step + sample), samples.dtype.element_ty, low, high)
    tl.store(samples + offset, value, mask=column < elements)


@triton.jit
def quantise_kernel(
    reconstruction,
    samples,
    verbatim,
    step: tl.float64,
    reciprocal_step: tl.float64,
    tolerance: tl.float64,
    largest_residual: tl.float64,
    largest_error: tl.float64,
    magnitude_limit: tl.float64,
    residuals,
    patched,
    max_abs_error,
    sum_squared_error,
    worst_sum_squared_error,
    elements: tl.int64,  # so that every offset below is int64
    row_stride: tl.int64,
    column_stride: tl.constexpr,
    low: tl.constexpr,
    high: tl.constexpr,
    block: tl.constexpr,
):
    """Choose the residuals of one sample in each program."""
    sample = tl.program_id(0)
    dtype: tl.constexpr = samples.dtype.element_ty
    max_error = tl.zeros((block,), tl.float64)
    total = tl.zeros((block,), tl.float64)
    worst_total = tl.zeros((block,), tl.float64)
    for start in range(0, elements, block):
        column = start + tl.arange(0, block)
        inside = column < elements
        offset = sample * elements + column
        decoded = reconstruction + sample * row_stride + column * column_stride
        x = tl.load(samples + offset, mask=inside, other=0).to(tl.float64)
        y = tl.load(decoded, mask=inside, other=0).to(tl.float64)
        k = round_half_even((x - y) * reciprocal_step)
        shift = k * step
        nominal = tl.abs(as_read(y + shift, dtype, low, high) - x)
        below = tl.abs(as_read((y - tolerance) + shift, dtype, low, high) - x)
        above = tl.abs(as_read((y + tolerance) + shift, dtype, low, high) - x)
        holds = (tl.abs(k) <= largest_residual) & (tl.abs(x) < magnitude_limit)
        holds &= (below <= largest_error) & (above <= largest_error) & inside
        if verbatim is not None:
            holds &= tl.load(verbatim + offset, mask=inside, other=0) == 0
        tl.store(residuals + offset, tl.where(holds, k, 0.0), mask=inside)
        tl.store(patched + offset, tl.where(holds, 0, 1), mask=inside)
        kept = tl.where(holds, nominal, 0.0)
        worst = tl.where(holds, tl.maximum(below, above), 0.0)
        max_error = tl.maximum(max_error, kept)
        total += kept * kept
        worst_total += worst * worst
    tl.store(max_abs_error + sample, tl.max(max_error, 0))
    tl.store(sum_squared_error + sample, tl.sum(total, 0))
    tl.store(worst_sum_squared_error + sample, tl.sum(worst_total, 0))


def restore(
    reconstruction: DeviceArray,
    residuals: DeviceArray,
    step: DeviceArray,
    samples: DeviceArray,
) -> None:
    """Write on the device the samples that a reader gets.

    `samples` (n, elements) has the dtype that the reference is asked for; other shapes, dtypes and
    the values are the reference's. All four arrays lie on the current device. The work is queued on
    torch's current stream: wait for it before reading the result. Raises ValueError where shapes or
    dtypes don't agree.
    """
    check_restored(reconstruction, residuals, step, samples)
    n, elements = samples.shape
    if n * elements == 0:
        return  # CUDA refuses an empty grid
    options = launch_options(elements)
    blocks = triton.cdiv(elements, options["block"])
    restore_kernel[(n * blocks,)](
        reconstruction,
        residuals,
        step,
        samples,
        blocks,
        elements,
        *_strides(reconstruction),
        *clip_range(dtype_of(samples)),
        **options,
    )


def quantise(
    reconstruction: DeviceArray,
    samples: DeviceArray,
    verbatim: DeviceArray | None,
    step: float,
    tolerance: float,
    max_error: float,
    residuals: DeviceArray,
    patched: DeviceArray,
    max_abs_error: DeviceArray,
    sum_squared_error: DeviceArray,
    worst_sum_squared_error: DeviceArray,
) -> None:
    """Choose the residuals on the device, and mark the elements that they don't bring within.

    Shapes, dtypes and results are those of the reference, sums but for rounding; all arrays lie on
    the current device. The work is queued on torch's current stream: wait for it before reading the
    results. Raises ValueError where shapes or dtypes don't agree.
    """
    statistics = max_abs_error, sum_squared_error, worst_sum_squared_error
    check_quantised(reconstruction, samples, verbatim, (residuals, patched), statistics)
    n, elements = samples.shape
    if n == 0:
        return  # CUDA refuses an empty grid
    quantise_kernel[(n,)](
        reconstruction,
        samples,
        verbatim,
        float(step),
        reciprocal(step),
        float(tolerance),
        *limits(residuals, samples, max_error),
        residuals,
        patched,
        *statistics,
        elements,
        *_strides(reconstruction),
        *clip_range(dtype_of(samples)),
        **launch_options(elements),
    )


def _strides(reconstruction: DeviceArray) -> tuple[int, int]:
    """Return the distance of its rows and of its columns, 0 along an axis of length 1."""
    rows, columns = reconstruction.shape
    return (columns if rows > 1 else 0), (1 if columns > 1 else 0)
