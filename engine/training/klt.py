"""Fits the linear codec to data: reads enough of them to find their principal directions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.codec.sample_format import SampleFormat
from engine.errors import InvalidInput
from engine.sources import Source
from engine.training.batches import (
    Ranges,
    RowSplit,
    TrainingBatches,
    count_rows,
    read_rows,
    split_rows,
    spread_over,
    thinned,
)
from engine.training.held_out import HeldOut
from engine.training.linear_codec import LinearCodec, Metric
from engine.training.principal_directions import (
    Floats,
    PrincipalDirections,
    count_directions,
    count_rounds,
    principal_directions,
)
from engine.training.rate import RatePoint
from engine.training.records import NAMED_VALIDATION_ROWS, Progress, Report, Trained
from engine.training.target import RateTarget

# Products of elements: a few seconds. More rows would hardly move the directions.
_MOST_WORK = 5e10
_BATCH_BYTES = 32 << 20


def fit_klt(
    source: Source,
    sample: SampleFormat,
    target: RateTarget,
    *,
    most_channels: int | None = None,
    for_samples: int | None = None,
    metric: Metric = "error",
    validation_fraction: float = 0.1,
    seed: int = 0,
    progress: Report | None = None,
) -> Trained:
    """Fit the linear codec that meets `target`, in a pass or a few over `source`.

    Of large data a part is read that takes a few seconds. `progress` gets as its loss the variance
    of an element, that of the data's range being 1. By the `metric` "cosine" errors matter by what
    they do to inner products with vectors like those of the data.

    Raises:
        InvalidInput: the target is out of reach.
        StorageError: the file system refused a read.
    """
    split = split_rows(source, validation_fraction, seed)
    codec = fit_linear(source, sample, split, most_channels, progress, target, for_samples, metric)
    options = {
        "architecture": "klt",
        "architecture_options": target.as_json(),
        "latent_dim": most_channels,
        "for_samples": for_samples,
        "metric": metric,
        "validation_fraction": validation_fraction,
        "seed": seed,
    }
    return trained_linear(codec, codec.find(target), split, options)


def fit_linear(
    source: Source,
    sample: SampleFormat,
    split: RowSplit,
    most_channels: int | None = None,
    progress: Report | None = None,
    target: RateTarget | None = None,
    for_samples: int | None = None,
    metric: Metric = "error",
) -> LinearCodec:
    """Fit the linear codec to the rows that train, for any step.

    Residuals that the bound of `target` asks for count, and the decoder that so many samples share.

    Raises:
        InvalidInput: `most_channels` is less than one.
        StorageError: the file system refused a read.
    """
    check_channels(most_channels)
    directions = fit_directions(source, sample, split.training, _as_vectors, progress=progress)
    residual_step = None if target is None else target.residual_step(sample.dtype)
    held_out = HeldOut(source, split.validation, sample, residual_step)
    shape, sharing = sample.network_shape, for_samples or math.inf
    return LinearCodec(directions, held_out, shape, most_channels, sharing, metric)


def check_channels(most_channels: int | None) -> None:
    """Refuse fewer than one.

    Raises:
        InvalidInput: it is less than one.
    """
    if most_channels is not None and most_channels < 1:
        raise InvalidInput(f"latent_dim must be at least 1, got {most_channels}")


def trained_linear(
    codec: LinearCodec, point: RatePoint, split: RowSplit, options: Mapping[str, Any]
) -> Trained:
    """Return the linear codec of one point as what training gives."""
    encoder, decoder = codec.networks(point.channels)
    return Trained(
        encoder=encoder.eval(),
        decoder=decoder.eval(),
        options=options,
        history=(),
        best_epoch=0,
        training_samples=count_rows(split.training),
        validation_samples=count_rows(split.validation),
        validation_rows=spread_over(split.validation, NAMED_VALIDATION_ROWS),
        rate=point,
    )


def fit_directions(
    source: Source,
    sample: SampleFormat,
    ranges: Ranges,
    to_rows: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    progress: Report | None = None,
) -> PrincipalDirections:
    """Find the principal directions of the rows in `ranges`, or of a part of them.

    `to_rows` makes vectors `(n, elements)` of what the network sees of a batch.

    Raises:
        StorageError: the file system refused a read.
    """
    first = sample.to_network(read_rows(source, thinned(ranges, 1))[:1])
    per_sample, elements = to_rows(first).shape
    rounds = count_rounds(elements)
    work = per_sample * elements * count_directions(elements) * rounds
    rows = thinned(ranges, max(1, int(_MOST_WORK / work)))
    batch_rows = max(1, _BATCH_BYTES // (8 * elements * per_sample))
    batches = TrainingBatches(source, rows, batch_rows, seed=0)
    number = itertools.count(1)

    def flat_batches() -> Iterator[Floats]:
        epoch = next(number)
        for step, raw in enumerate(batches.epoch(1), 1):
            batch = to_rows(sample.to_network(raw)).astype(np.float64)
            yield batch
            if progress is not None:
                variance = float(batch.var(axis=0).mean())
                progress(Progress(epoch, rounds, step, batches.steps, variance, None))

    return principal_directions(flat_batches, elements)


def _as_vectors(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return samples.reshape(len(samples), -1)
