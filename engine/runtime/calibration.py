"""What a codec must know of the data: the range of values, and the range of each latent channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.codec.manifest import Bits, LatentFormat
from engine.codec.sample_format import SampleFormat, default_data_range
from engine.errors import InvalidInput
from engine.runtime.codec import check_finite
from engine.sources import Source, spread_rows

CALIBRATION_SAMPLES = 4096
# Held-out samples leave the calibrated range a little; this keeps most of them from saturating.
_HEADROOM = 1.1
_BLOCK_BYTES = 8 * 1024 * 1024


def blocks(source: Source) -> Iterator[tuple[int, NDArray[Any]]]:
    """All rows in order, about 8 MiB at a time, each block with its first row."""
    row_bytes = int(np.prod(source.sample_shape)) * source.dtype.itemsize
    rows = max(1, _BLOCK_BYTES // row_bytes)
    for start in range(0, len(source), rows):
        yield start, source.read(start, min(start + rows, len(source)))


def value_range(
    source: Source, progress: Callable[[int], None] | None = None
) -> tuple[float, float]:
    """Smallest and largest value of the data, in one pass; uint8 needs none.

    Raises:
        InvalidInput: NaN or Inf, with the first offending index.
    """
    known = default_data_range(source.dtype)
    if known is not None:
        return known
    low, high = np.inf, -np.inf
    for start, block in blocks(source):
        check_finite(block, start)
        low, high = min(low, float(block.min())), max(high, float(block.max()))
        if progress is not None:
            progress(len(block))
    return low, high


def calibration_rows(source: Source, count: int = CALIBRATION_SAMPLES) -> NDArray[Any]:
    """Up to `count` samples in 64 runs spread over the data, as one array.

    Raises:
        InvalidInput: NaN or Inf, with the first offending index.
    """
    run = max(1, count // 64)
    starts = spread_rows(max(1, len(source) - run + 1), 64)
    runs = []
    following = 0
    for start in (max(int(start), following) for start in starts):
        following = min(start + run, len(source))
        if start < following:
            runs.append(source.read(start, following))
            check_finite(runs[-1], start)
    return np.concatenate(runs)


def calibrate_latents(
    run_encoder: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    samples: NDArray[Any],
    sample: SampleFormat,
    bits: Bits,
    batch_samples: int,
) -> LatentFormat:
    """Fit each channel's scale and offset to the latents of raw `samples` `(n, *shape)`.

    Raises:
        InvalidInput: the encoder returns no usable latents.
    """
    low: NDArray[np.float32] | None = None
    high: NDArray[np.float32] | None = None
    shape: tuple[int, ...] = ()
    for start in range(0, len(samples), batch_samples):
        latents = run_encoder(sample.to_network(samples[start : start + batch_samples]))
        if latents.ndim < 2 or not np.isfinite(latents).all():
            raise InvalidInput(
                f"the encoder must return finite latents of shape (batch, ...), "
                f"found shape {latents.shape} with {np.isnan(latents).sum()} NaN"
            )
        shape = latents.shape[1:]
        axes = (0, *range(2, latents.ndim))
        lowest, highest = latents.min(axis=axes), latents.max(axis=axes)
        low = lowest if low is None else np.minimum(low, lowest)
        high = highest if high is None else np.maximum(high, highest)
    if low is None or high is None:
        raise InvalidInput("calibration needs at least one sample")
    offset = (low + high) / 2
    limit = (1 << (bits - 1)) - 1
    scale = ((high - low) / 2 * _HEADROOM / limit).astype(np.float32)
    scale[~(scale > np.finfo(np.float32).tiny)] = 1.0
    return LatentFormat(shape, bits, tuple(scale.tolist()), tuple(offset.tolist()))
