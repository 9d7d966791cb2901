"""The linear codec: the principal directions of the data, one uniform step for all of them.

Its networks are one linear layer each way, in closed form; the latents are coordinates in an
orthonormal basis, so their distances are those of the samples. It is what every other codec is
measured against.

Source: Goyal, "Theoretical foundations of transform coding", 2001.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine.codec.sample_format import SampleFormat
from engine.entropy import entropy_bits
from engine.errors import InvalidInput
from engine.sources import Source
from engine.training.architectures.layers import CentredVector
from engine.training.architectures.rated import Rated
from engine.training.architectures.transform import LinearModules, Transform
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
from engine.training.principal_directions import (
    Floats,
    PrincipalDirections,
    count_directions,
    count_rounds,
    principal_directions,
)
from engine.training.rate import RatePoint, decoder_bits
from engine.training.records import NAMED_VALIDATION_ROWS, Progress, Report, Trained
from engine.training.target import RateTarget, price_of
from engine.training.units import choose_units

# Products of elements: a few seconds. More rows would hardly move the directions.
_MOST_WORK = 5e10
_BATCH_BYTES = 32 << 20
_LARGEST_LATENT = (1 << 15) - 1
_NEAR = 1.2
_MOST_CHANNELS, _CHANNELS_AT = 384, 0.7  # of a transform; found by trial on digits
_FINER = 2.0  # channels are kept that carry rate at a step finer by this factor's square root

Metric = Literal["error", "cosine"]
"""Whether errors count as they are, or by what they do to inner products."""


class LinearCodec:
    """Principal directions at any step, measured on samples that are `held_out`.

    What has the directions is a sample as a vector; subclasses may make several rows of one.
    """

    name = "klt"

    def __init__(
        self,
        directions: PrincipalDirections,
        held_out: HeldOut,
        shape: tuple[int, ...],
        most_channels: int | None,
        for_samples: float = math.inf,
        metric: Metric = "error",
    ) -> None:
        """Project the held-out samples, which the network sees in `shape`, once.

        So many samples share the decoder, whose weights take a byte each. By `cosine` latents are
        multiplied by their relative deviation, since errors of inner products grow with it.
        """
        self.held_out = held_out
        self._shape = shape
        self._mean = directions.mean.astype(np.float32)
        vectors = directions.vectors[:, :most_channels]
        scales = directions.relative_deviations[:most_channels] if metric == "cosine" else 1.0
        self._inwards = (vectors * scales).astype(np.float32)
        self._vectors = (vectors / scales).astype(np.float32)
        self.for_samples = for_samples
        rows = self._rows(held_out.samples)
        self._latents = (rows - self._mean) @ self._inwards
        self._rows_per_sample = len(rows) // len(held_out.samples)

    def find(self, target: RateTarget) -> RatePoint:
        """Return the point that meets the target.

        Raises:
            InvalidInput: latents of 16 bits don't reach it.
        """
        largest = float(np.abs(self._latents).max()) or 1.0
        about = target.find(self.measure, 2 * largest / _LARGEST_LATENT, 2 * largest)
        # Channels come and go in leaps; with these the target is met to a hair.
        measure = functools.partial(self.measure, channels=about.channels)
        return target.find(measure, about.step / _NEAR, about.step * _NEAR)

    def measure(self, step: float, channels: int | None = None) -> RatePoint:
        """Return what the codec of this step, as float32 has it, makes of the held-out samples.

        It has so many channels, or those that carry rate.
        """
        spacing = np.float32(step)
        integers = np.rint(self._latents / spacing)
        bits = entropy_bits(integers) * self._rows_per_sample
        # A channel's bits, and those of the weights that decode it.
        weights = np.full(len(bits), decoder_bits(len(self._mean), self.for_samples))
        price = price_of(step) / _FINER
        kept = channels or self._carrying(integers * spacing, bits + weights, price)
        rows = integers[:, :kept] * spacing @ self._vectors[:, :kept].T + self._mean
        point = self.held_out.measure(float(spacing), bits[:kept], self._samples(rows))
        return replace(point, decoder_bits=float(weights[:kept].sum()))

    def modules(self, channels: int) -> LinearModules:
        """Return the layers of `networks`, apart."""
        vectors = torch.from_numpy(self._vectors[:, :channels])
        mean = torch.from_numpy(self._mean)
        elements = len(vectors)
        centred, forward = CentredVector(self._shape), nn.Linear(elements, channels, bias=False)
        back = nn.Linear(channels, elements)
        with torch.no_grad():
            centred.start_at(mean.reshape(self._shape))
            forward.weight.copy_(torch.from_numpy(self._inwards[:, :channels].T))
            back.weight.copy_(vectors)
            back.bias.copy_(mean)
        return (centred, forward), (back, nn.Unflatten(1, self._shape))

    def networks(self, channels: int) -> tuple[nn.Module, nn.Module]:
        """Return encoder and decoder of so many channels; latents are in the samples' unit."""
        encoder, decoder = self.modules(channels)
        return nn.Sequential(*encoder), nn.Sequential(*decoder)

    def start(self, step: float, point: RatePoint) -> Rated | None:
        """Return the transform that starts here, for a step, or None where its bytes don't pay.

        `point` is the linear codec that it has to beat.
        """
        units = choose_units(point, self.held_out.samples[0].size, self.for_samples)
        if not units:
            return None
        channels = self._count_for(step)
        deviations = torch.from_numpy(self.deviations(channels))
        return Transform(
            self.modules(channels),
            deviations,
            step,
            price_of(step),
            units=units,
            bounds=self.held_out.bounds,
            residual_step=self.held_out.residual_step,
        )

    def _count_for(self, step: float) -> int:
        """How many channels a transform of this step may find useful."""
        return min(self.measure(_CHANNELS_AT * step).channels, _MOST_CHANNELS)

    def deviations(self, channels: int) -> NDArray[np.float32]:
        """Standard deviations of the leading latents, `(channels,)`."""
        found: NDArray[np.float32] = self._latents[:, :channels].std(axis=0)
        return found

    def _carrying(self, quantised: NDArray[np.float32], bits: Floats, price: float) -> int:
        """How many leading channels, at least one, save more error than their bits may cost."""
        saved = np.square(self._latents) - np.square(self._latents - quantised)
        each = saved.mean(axis=0, dtype=np.float64) * self._rows_per_sample
        return int(np.argmax(np.cumsum(each - price * bits))) + 1

    def _rows(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors `(n, elements)` of samples `(batch, *shape)`."""
        return _as_vectors(samples)

    def _samples(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Undo `_rows`."""
        return rows.reshape(-1, *self._shape)


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
