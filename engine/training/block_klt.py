"""The linear codec of blocks: the principal directions of all blocks of samples that are large."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine.codec.sample_format import SampleFormat
from engine.sources import Source
from engine.training.architectures.conv_transform import (
    BlockMaps,
    ConvTransform,
    LinearDecoder,
    LinearEncoder,
)
from engine.training.architectures.rated import Rated
from engine.training.batches import RowSplit, read_rows, thinned
from engine.training.blocks import BlockGrid, block_grid
from engine.training.held_out import HeldOut
from engine.training.klt import check_channels, fit_directions
from engine.training.linear_codec import LinearCodec
from engine.training.principal_directions import PrincipalDirections
from engine.training.rate import RatePoint, decoder_bits
from engine.training.target import price_of

_MEAN_SAMPLES, _MEAN_ELEMENTS = 1024, 1 << 24
# A mean field is kept, and shipped, where it explains more variance than chance would.
_EXPLAINED, _CHANCE = 0.02, 4.0
_TINY = 1e-30
_SAVED = 0.25  # of the linear codec's bits, of grey patches of photographs at 28 dB

Samples = NDArray[np.float32]


class BlockCodec(LinearCodec):
    """Principal directions of the blocks of samples less their mean, at any step."""

    name = "block-klt"

    def __init__(
        self,
        directions: PrincipalDirections,
        held_out: HeldOut,
        grid: BlockGrid,
        mean: Samples,
        most_channels: int | None,
        for_samples: float = math.inf,
    ) -> None:
        """Project the blocks of the held-out samples once; `mean` is that of a sample."""
        self._grid, self._sample_mean = grid, mean
        super().__init__(directions, held_out, grid.shape, most_channels, for_samples)

    def maps(self, channels: int) -> BlockMaps:
        """Return the maps of so many leading directions."""
        vectors = torch.from_numpy(self._vectors[:, :channels].copy())
        return BlockMaps(
            self._grid, torch.from_numpy(self._sample_mean), torch.from_numpy(self._mean), vectors
        )

    def networks(self, channels: int) -> tuple[nn.Module, nn.Module]:
        """Return encoder and decoder of so many channels; latents are in the samples' unit."""
        maps = self.maps(channels)
        return LinearEncoder(maps), LinearDecoder(maps)

    def start(self, step: float, point: RatePoint) -> Rated | None:
        """Return the transform that starts here, for a step, or None where its bytes don't pay."""
        channels = self._count_for(step)
        deviations = torch.from_numpy(self.deviations(channels))
        model = ConvTransform(
            self.maps(channels),
            deviations,
            step,
            price_of(step),
            bounds=self.held_out.bounds,
            residual_step=self.held_out.residual_step,
        )
        bits = point.bits_per_sample + point.residual_bits
        pays = decoder_bits(model.decoder_weights, self.for_samples) < _SAVED * bits
        return model if pays else None

    def _rows(self, samples: Samples) -> Samples:
        return to_rows(self._grid, self._sample_mean)(samples)

    def _samples(self, rows: Samples) -> Samples:
        joined: Samples = self._grid.samples(torch.from_numpy(rows)).numpy()
        return joined + self._sample_mean


def fit_blocks(
    source: Source,
    sample: SampleFormat,
    split: RowSplit,
    held_out: HeldOut,
    most_channels: int | None = None,
    for_samples: float = math.inf,
) -> BlockCodec:
    """Fit the linear codec of blocks to the rows that train, for any step.

    So many samples share the decoder.

    Raises:
        InvalidInput: `most_channels` is less than one, or samples have no or too many axes.
        StorageError: the file system refused a read.
    """
    check_channels(most_channels)
    grid = block_grid(sample.network_shape)
    mean = _mean(source, sample, split)
    directions = fit_directions(source, sample, split.training, to_rows(grid, mean))
    return BlockCodec(directions, held_out, grid, mean, most_channels, for_samples)


def to_rows(grid: BlockGrid, mean: Samples) -> Callable[[Samples], Samples]:
    """A function that makes blocks, one a row, of samples less their mean."""

    def rows(samples: Samples) -> Samples:
        found: Samples = grid.rows(torch.from_numpy(samples - mean)).numpy()
        return found

    return rows


def _mean(source: Source, sample: SampleFormat, split: RowSplit) -> Samples:
    """The mean field `(channels, *spatial)`, or where there is none that of each channel."""
    elements = int(np.prod(sample.network_shape))
    some = thinned(split.training, max(1, min(_MEAN_SAMPLES, _MEAN_ELEMENTS // elements)))
    samples = sample.to_network(read_rows(source, some))
    field = samples.mean(axis=0, dtype=np.float64)
    flat = field.mean(axis=tuple(range(1, field.ndim)), keepdims=True)
    explained = float(np.square(field - flat).mean()) / max(float(samples.var()), _TINY)
    mean = field if explained > max(_EXPLAINED, _CHANCE / len(samples)) else flat
    return np.asarray(mean, np.float32)
