"""The linear codec: coordinates along the principal directions of the data, and one uniform step.

Its networks are one linear layer each way, in closed form; the latents are coordinates in an
orthonormal basis, so their distances are those of the samples. It is what every other codec is
measured against.

Source: Goyal, "Theoretical foundations of transform coding", 2001.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine.entropy import entropy_bits
from engine.training.architectures.layers import CentredVector
from engine.training.architectures.rated import Rated
from engine.training.architectures.transform import LinearModules, Transform
from engine.training.held_out import HeldOut
from engine.training.principal_directions import Floats, PrincipalDirections
from engine.training.rate import RatePoint, decoder_bits
from engine.training.target import RateTarget, price_of
from engine.training.units import choose_units

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
        return samples.reshape(len(samples), -1)

    def _samples(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Undo `_rows`."""
        return rows.reshape(-1, *self._shape)
