"""Training of nonlinear transforms for a rate, from the linear codec on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.codec.sample_format import SampleFormat
from engine.entropy import sample_bits
from engine.errors import InvalidInput
from engine.sources import Source
from engine.training.architectures.rated import Rated
from engine.training.batches import RowSplit, count_rows, split_rows, thinned
from engine.training.export import torch_latents, torch_reconstruction
from engine.training.fitting import run_training, seeded
from engine.training.klt import trained_linear
from engine.training.linear_codec import LinearCodec
from engine.training.options import TrainingOptions
from engine.training.rate import RatePoint, decoder_bits
from engine.training.records import Report, Trained
from engine.training.target import RateTarget
from engine.training.transform_kind import TRANSFORM, TransformKind

_LEAST_EPOCHS = 8
_REACH = 4.0


def fit_transform(
    source: Source,
    sample: SampleFormat,
    target: RateTarget,
    *,
    kind: TransformKind = TRANSFORM,
    most_channels: int | None = None,
    for_samples: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    patience: int | None = None,
    validation_fraction: float = 0.1,
    seed: int = 0,
    device: str = "auto",
    checkpoint: Path | None = None,
    progress: Report | None = None,
) -> Trained:
    """Train the transform that meets `target`, or return a linear codec where that is better.

    Without `epochs` it takes the steps of its kind, over a part of large data, and fewer where
    latents are fine and samples few; without `patience` all of them, since quality comes back only
    as the learning rate falls. A run that was cut off goes on from its `checkpoint` folder.
    `for_samples` share the decoder, whose bytes then count: few get a small network, or none.

    Raises:
        InvalidInput: the target is out of reach, or the loss is no longer finite.
        DeviceUnavailable: CUDA was asked for and isn't there.
        StorageError: the file system refused a read or a write.
    """
    split = split_rows(source, validation_fraction, seed)
    linear, *others = kind.fit_linear(source, sample, split, most_channels, target, for_samples)
    start = linear.find(target)
    best, to_beat = _best(target, (linear, start), others)
    step = start.step if target.rate_lambda else kind.finer * start.step
    batch_size = batch_size or kind.batch_size(sample)
    rows = split if epochs else _enough(split, kind.steps * batch_size)
    passes = kind.steps * batch_size / count_rows(rows.training)
    epochs = epochs or math.ceil(min(passes, kind.most_passes(start)))
    options = TrainingOptions(
        architecture=kind.name,
        architecture_options=target.as_json(),
        latent_dim=most_channels,
        loss="mse",
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=kind.learning_rate(step) if learning_rate is None else learning_rate,
        validation_fraction=validation_fraction,
        patience=patience or epochs,
        seed=seed,
    )
    kept = options.as_json() | {"architecture": best.name, "better_than": kind.name}
    with seeded(seed, device) as on:
        initial = linear.start(step, to_beat)
        if initial is None:
            return trained_linear(best, to_beat, split, kept)
        model = initial.to(on)
        trained = run_training(
            model, options, source, rows, sample.to_network, checkpoint, progress
        )
    found = _meet(target, model, best)
    if found is not None and target.prefers(found, to_beat):
        return replace(trained, rate=found)
    return replace(trained_linear(best, to_beat, split, kept), history=trained.history)


def _best(
    target: RateTarget, first: tuple[LinearCodec, RatePoint], others: Sequence[LinearCodec]
) -> tuple[LinearCodec, RatePoint]:
    """The linear codec that meets the target best, and how; the others may be unable to."""
    best = first
    for codec in others:
        with suppress(InvalidInput):
            point = codec.find(target)
            best = (codec, point) if target.prefers(point, best[1]) else best
    return best


def _enough(split: RowSplit, seen: int) -> RowSplit:
    """So many of the training rows that each is among the rows `seen` several times."""
    return RowSplit(thinned(split.training, seen // _LEAST_EPOCHS), split.validation)


def _meet(target: RateTarget, model: Rated, linear: LinearCodec) -> RatePoint | None:
    """The step near the one it was trained for at which it meets the target, if there is one."""
    held_out = linear.held_out
    share = decoder_bits(model.decoder_weights, linear.for_samples)
    latents = torch_latents(model.encoder, held_out.samples)

    def measure(step: float) -> RatePoint:
        spacing = np.float32(step)
        integers = np.rint(latents / spacing)
        decoded = torch_reconstruction(model.decoder, integers * spacing)
        point = held_out.measure(float(spacing), sample_bits(integers), decoded)
        return replace(point, decoder_bits=share)

    try:
        return target.find(measure, model.step / _REACH, model.step * _REACH)
    except InvalidInput:
        return None
