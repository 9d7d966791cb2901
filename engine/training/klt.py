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
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine.codec.sample_format import SampleFormat
from engine.entropy import entropy_bits
from engine.errors import InvalidInput
from engine.sources import Source
from engine.training.architectures.layers import CentredVector
from engine.training.architectures.transform import LinearModules
from engine.training.batches import (
    Ranges,
    RowSplit,
    TrainingBatches,
    count_rows,
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

# Products of elements: a few seconds. More rows would hardly move the directions.
_MOST_WORK = 5e10
_BATCH_BYTES = 32 << 20
_LARGEST_LATENT = (1 << 15) - 1
_NEAR = 1.2
_FINER = 2.0  # channels are kept that carry rate at a step finer by this factor's square root


class LinearCodec:
    """Principal directions at any step, measured on samples that are `held_out`."""

    def __init__(
        self,
        directions: PrincipalDirections,
        held_out: HeldOut,
        shape: tuple[int, ...],
        most_channels: int | None,
        for_samples: float = math.inf,
    ) -> None:
        """Project the held-out samples, which the network sees in `shape`, once.

        So many samples share the decoder, whose weights take a byte each.
        """
        self.held_out = held_out
        self._shape = shape
        self._mean = directions.mean.astype(np.float32)
        self._vectors = directions.vectors[:, :most_channels].astype(np.float32)
        self.for_samples = for_samples
        self._latents = (held_out.samples.reshape(-1, len(self._mean)) - self._mean) @ self._vectors

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
        bits = entropy_bits(integers)
        # A channel's bits, and those of the weights that decode it.
        weights = np.full(len(bits), decoder_bits(len(self._mean), self.for_samples))
        price = price_of(step) / _FINER
        kept = channels or self._carrying(integers * spacing, bits + weights, price)
        reconstruction = integers[:, :kept] * spacing @ self._vectors[:, :kept].T
        point = self.held_out.measure(float(spacing), bits[:kept], reconstruction + self._mean)
        return replace(point, decoder_bits=float(weights[:kept].sum()))

    def modules(self, channels: int) -> LinearModules:
        """Return encoder and decoder of so many channels; latents are in the samples' unit."""
        vectors = torch.from_numpy(self._vectors[:, :channels])
        mean = torch.from_numpy(self._mean)
        elements = len(vectors)
        centred, forward = CentredVector(self._shape), nn.Linear(elements, channels, bias=False)
        back = nn.Linear(channels, elements)
        with torch.no_grad():
            centred.start_at(mean.reshape(self._shape))
            forward.weight.copy_(vectors.T)
            back.weight.copy_(vectors)
            back.bias.copy_(mean)
        return (centred, forward), (back, nn.Unflatten(1, self._shape))

    def deviations(self, channels: int) -> NDArray[np.float32]:
        """Standard deviations of the leading latents, `(channels,)`."""
        found: NDArray[np.float32] = self._latents[:, :channels].std(axis=0)
        return found

    def _carrying(self, quantised: NDArray[np.float32], bits: Floats, price: float) -> int:
        """How many leading channels, at least one, save more error than their bits may cost."""
        saved = np.square(self._latents) - np.square(self._latents - quantised)
        return int(np.argmax(np.cumsum(saved.mean(axis=0, dtype=np.float64) - price * bits))) + 1


def fit_klt(
    source: Source,
    sample: SampleFormat,
    target: RateTarget,
    *,
    most_channels: int | None = None,
    for_samples: int | None = None,
    validation_fraction: float = 0.1,
    seed: int = 0,
    progress: Report | None = None,
) -> Trained:
    """Fit the linear codec that meets `target`, in a pass or a few over `source`.

    Of large data a part is read that takes a few seconds. `progress` gets as its loss the variance
    of an element, that of the data's range being 1.

    Raises:
        InvalidInput: the target is out of reach.
        StorageError: the file system refused a read.
    """
    split = split_rows(source, validation_fraction, seed)
    codec = fit_linear(source, sample, split, most_channels, progress, target, for_samples)
    options = {
        "architecture": "klt",
        "architecture_options": target.as_json(),
        "latent_dim": most_channels,
        "for_samples": for_samples,
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
) -> LinearCodec:
    """Fit the linear codec to the rows that train, for any step.

    Residuals that the bound of `target` asks for count, and the decoder that so many samples share.

    Raises:
        InvalidInput: `most_channels` is less than one.
        StorageError: the file system refused a read.
    """
    if most_channels is not None and most_channels < 1:
        raise InvalidInput(f"latent_dim must be at least 1, got {most_channels}")
    directions = _fit_directions(source, sample, split.training, progress)
    residual_step = None if target is None else target.residual_step(sample.dtype)
    held_out = HeldOut(source, split.validation, sample, residual_step)
    shape, sharing = sample.network_shape, for_samples or math.inf
    return LinearCodec(directions, held_out, shape, most_channels, sharing)


def trained_linear(
    codec: LinearCodec, point: RatePoint, split: RowSplit, options: Mapping[str, Any]
) -> Trained:
    """Return the linear codec of one point as what training gives."""
    encoder, decoder = codec.modules(point.channels)
    return Trained(
        encoder=nn.Sequential(*encoder).eval(),
        decoder=nn.Sequential(*decoder).eval(),
        options=options,
        history=(),
        best_epoch=0,
        training_samples=count_rows(split.training),
        validation_samples=count_rows(split.validation),
        validation_rows=spread_over(split.validation, NAMED_VALIDATION_ROWS),
        rate=point,
    )


def _fit_directions(
    source: Source, sample: SampleFormat, ranges: Ranges, progress: Report | None = None
) -> PrincipalDirections:
    """Find the principal directions of what the network sees of the rows in `ranges`."""
    elements = math.prod(sample.shape)
    rounds = count_rounds(elements)
    work = elements * count_directions(elements) * rounds
    rows = thinned(ranges, max(1, int(_MOST_WORK / work)))
    batches = TrainingBatches(source, rows, max(1, _BATCH_BYTES // (8 * elements)), seed=0)
    number = itertools.count(1)

    def flat_batches() -> Iterator[Floats]:
        epoch = next(number)
        for step, raw in enumerate(batches.epoch(1), 1):
            batch = sample.to_network(raw).reshape(len(raw), elements).astype(np.float64)
            yield batch
            if progress is not None:
                variance = float(batch.var(axis=0).mean())
                progress(Progress(epoch, rounds, step, batches.steps, variance, None))

    return principal_directions(flat_batches, elements)
