"""The kinds of transforms that are trained for a rate, and how fast each of them goes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.codec.sample_format import SampleFormat
from engine.sources import Source
from engine.training.batches import RowSplit
from engine.training.block_klt import fit_blocks
from engine.training.blocks import block_grid
from engine.training.klt import fit_linear
from engine.training.linear_codec import LinearCodec
from engine.training.rate import RatePoint
from engine.training.target import RateTarget

_BATCH, _BATCH_BLOCKS = 128, 512
# Found by trial on digits at 20 and 27 dB: what training meets a target with is finer than what
# the linear codec does, and the finer the step, the less its maps may move.
_FINER = 0.95
_PACE = 5.5e-3
# Latents of so many bits learn few samples by heart: at 27 dB in more passes, at 20 in none tried.
_FINE_BITS, _FINE_PASSES = 300.0, 25
# Found by trial on grey patches of photographs at 28 dB.
_CONV_FINER = 0.95
_CONV_PACE = 2e-3

FitLinear = Callable[
    [Source, SampleFormat, RowSplit, int | None, RateTarget, int | None], Sequence[LinearCodec]
]
"""Source, sample, rows, most channels, target and samples that share the decoder."""


@dataclass(frozen=True)
class TransformKind:
    """What tells one kind of transform from another.

    `fit_linear` fits the linear codecs that it has to beat, the first being the one that it starts
    at. It is trained for `steps` steps without `epochs`, but in no more passes than `most_passes`
    has for the point of the linear one, and for a quantisation `finer` times that with which the
    linear one meets the target.
    """

    name: str
    fit_linear: FitLinear
    steps: int
    most_passes: Callable[[RatePoint], float]
    finer: float
    learning_rate: Callable[[float], float]
    batch_size: Callable[[SampleFormat], int]


def _of_vectors(
    source: Source,
    sample: SampleFormat,
    split: RowSplit,
    most_channels: int | None,
    target: RateTarget,
    for_samples: int | None,
) -> Sequence[LinearCodec]:
    options: dict[str, Any] = {"target": target, "for_samples": for_samples}
    return (fit_linear(source, sample, split, most_channels, **options),)


def _of_blocks(
    source: Source,
    sample: SampleFormat,
    split: RowSplit,
    most_channels: int | None,
    target: RateTarget,
    for_samples: int | None,
) -> Sequence[LinearCodec]:
    options: dict[str, Any] = {"target": target, "for_samples": for_samples}
    blocks = math.prod(block_grid(sample.network_shape).grid)
    most = most_channels and most_channels * blocks
    whole = fit_linear(source, sample, split, most, **options)
    blockwise = fit_blocks(source, sample, split, whole.held_out, most_channels, whole.for_samples)
    return blockwise, whole


def _most_passes(linear: RatePoint) -> float:
    return _FINE_PASSES if linear.bits_per_sample >= _FINE_BITS else math.inf


def _batch_of_blocks(sample: SampleFormat) -> int:
    """So many samples that a step sees some hundred blocks."""
    blocks = math.prod(block_grid(sample.network_shape).grid)
    return max(1, min(_BATCH, math.ceil(_BATCH_BLOCKS / blocks)))


TRANSFORM = TransformKind(
    "transform",
    _of_vectors,
    3000,
    _most_passes,
    _FINER,
    lambda step: _PACE * step,
    lambda _: _BATCH,
)
CONV_TRANSFORM = TransformKind(
    "conv-transform",
    _of_blocks,
    1500,
    lambda _: math.inf,
    _CONV_FINER,
    lambda _: _CONV_PACE,
    _batch_of_blocks,
)
TRANSFORM_KINDS = {kind.name: kind for kind in (TRANSFORM, CONV_TRANSFORM)}
