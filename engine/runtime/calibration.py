"""What a codec must know of the data: the range of values, and the range of each latent channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.codec.manifest import Bits, LatentFormat, latent_limit
from engine.codec.sample_format import SampleFormat, default_data_range
from engine.errors import InvalidInput
from engine.runtime.codec import batch_samples, batches, check_finite
from engine.sources import Source, spread_rows

CALIBRATION_SAMPLES = 4096
CALIBRATION_BYTES = 128 * 1024 * 1024
_RUNS = 64
# Held-out samples leave the calibrated range a little; this keeps most of them from saturating.
_HEADROOM = 1.1
# What is written at half the step needs twice the integers.
_FINER_STEPS = 2
_BLOCK_BYTES = 8 * 1024 * 1024

Encoder = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Maps what the network sees of samples to float latents, both `(batch, ...)`."""


def blocks(source: Source) -> Iterator[tuple[int, NDArray[Any]]]:
    """All rows in order, about 8 MiB at a time, each block with its first row."""
    rows = max(1, _BLOCK_BYTES // source.sample_bytes)
    for start in range(0, len(source), rows):
        yield start, source.read(start, min(start + rows, len(source)))


def value_range(source: Source) -> tuple[float, float]:
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
    return low, high


def calibration_rows(source: Source) -> NDArray[Any]:
    """Samples in runs spread over the data, as one array of at most 4096 samples and 128 MiB.

    All samples where these are fewer, and one however large it is.
    """
    count = max(1, min(CALIBRATION_SAMPLES, CALIBRATION_BYTES // source.sample_bytes))
    if len(source) <= count:
        return source.read(0, len(source))
    runs = min(_RUNS, count)
    length = count // runs
    taken = []
    following = 0
    for first in spread_rows(len(source) - length + 1, runs):
        start = max(int(first), following)
        following = min(start + length, len(source))
        taken.append(source.read(start, following))
    return np.concatenate(taken)


def calibrate_latents(
    run_encoder: Encoder, samples: NDArray[Any], sample: SampleFormat, bits: Bits
) -> LatentFormat:
    """Fit each channel's scale and offset to the latents of raw `samples` `(n, *shape)`.

    Raises:
        InvalidInput: the encoder returns no usable latents.
    """
    shape, low, high = _latent_range(run_encoder, samples, sample)
    offset = ((low + high) / 2).astype(np.float32)
    scale = ((high - low) / 2 * _HEADROOM / latent_limit(bits)).astype(np.float32)
    scale[~(scale > np.finfo(np.float32).tiny)] = 1.0
    return LatentFormat(shape, bits, tuple(scale.tolist()), tuple(offset.tolist()))


def uniform_latents(
    run_encoder: Encoder,
    samples: NDArray[Any],
    sample: SampleFormat,
    spacing: float,
    bits: Bits | None,
) -> LatentFormat:
    """One scale, `spacing`, for all channels, and no offset.

    `bits` None chooses 8 where the latents of raw `samples` `(n, *shape)` keep within 8 at half
    the step, too, else 16.

    Raises:
        InvalidInput: the encoder returns no usable latents.
    """
    shape, low, high = _latent_range(run_encoder, samples, sample)
    reach = float(max(-low.min(), high.max())) / spacing
    bits = bits or (8 if _FINER_STEPS * reach <= latent_limit(8) else 16)
    return LatentFormat(shape, bits, (float(np.float32(spacing)),) * shape[0], (0.0,) * shape[0])


def _latent_range(
    run_encoder: Encoder, samples: NDArray[Any], sample: SampleFormat
) -> tuple[tuple[int, ...], NDArray[np.float64], NDArray[np.float64]]:
    """Shape of one sample's latents, and the smallest and largest value of each channel."""
    extremes = []
    for start, stop in batches(len(samples), batch_samples(sample.shape)):
        latents = run_encoder(sample.to_network(samples[start:stop]))
        if latents.ndim < 2 or latents.size == 0:
            raise InvalidInput(
                f"the encoder must return latents of shape (batch, ...), found {latents.shape}"
            )
        if not np.isfinite(latents).all():
            raise InvalidInput(
                "the encoder returns NaN or Inf for samples that hold neither; "
                "does it expect its input in another range (input_range)?"
            )
        axes = (0, *range(2, latents.ndim))
        extremes.append((latents.min(axis=axes), latents.max(axis=axes)))
    lowest, highest = zip(*extremes, strict=True)
    low, high = np.min(lowest, axis=0).astype(float), np.max(highest, axis=0).astype(float)
    return latents.shape[1:], low, high
