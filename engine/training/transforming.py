"""Training of the nonlinear transform for a rate, from the linear codec on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from engine.codec.sample_format import SampleFormat
from engine.entropy import entropy_bits
from engine.errors import InvalidInput
from engine.sources import Source
from engine.training.architectures.transform import Transform
from engine.training.batches import RowSplit, count_rows, split_rows, thinned
from engine.training.export import torch_latents, torch_reconstruction
from engine.training.fitting import run_training, seeded
from engine.training.klt import LinearCodec, fit_linear, trained_linear
from engine.training.options import TrainingOptions
from engine.training.rate import RatePoint, decoder_bits
from engine.training.records import Report, Trained
from engine.training.target import RateTarget, price_of
from engine.training.units import choose_units

STEPS = 3000
_LEAST_EPOCHS = 8
_MOST_CHANNELS = 384
# Found by trial on digits at 20 and 27 dB: what training meets a target with is finer than what
# the linear codec does, and the finer the step, the less its maps may move.
_START = 0.95
_PACE = 5.5e-3
_CHANNELS_AT = 0.7
_REACH = 4.0


def fit_transform(
    source: Source,
    sample: SampleFormat,
    target: RateTarget,
    *,
    most_channels: int | None = None,
    for_samples: int | None = None,
    epochs: int | None = None,
    batch_size: int = 128,
    learning_rate: float | None = None,
    patience: int | None = None,
    validation_fraction: float = 0.1,
    seed: int = 0,
    device: str = "auto",
    checkpoint: Path | None = None,
    progress: Report | None = None,
) -> Trained:
    """Train the transform that meets `target`, or return the linear codec where that is better.

    Without `epochs` it takes 3000 steps, over a part of large data; without `patience` all of
    them, since quality comes back only as the learning rate falls. A run that was cut off goes on
    from its `checkpoint` folder. `for_samples` share the decoder, whose bytes then count: few get
    a small network, or none.

    Raises:
        InvalidInput: the target is out of reach, or the loss is no longer finite.
        DeviceUnavailable: CUDA was asked for and isn't there.
        StorageError: the file system refused a read or a write.
    """
    split = split_rows(source, validation_fraction, seed)
    linear = fit_linear(
        source, sample, split, most_channels, target=target, for_samples=for_samples
    )
    to_beat = linear.find(target)
    units = choose_units(to_beat, linear.held_out.samples[0].size, linear.for_samples)
    step = to_beat.step if target.rate_lambda else _START * to_beat.step
    rows = split if epochs else _enough(split, batch_size)
    epochs = epochs or math.ceil(STEPS * batch_size / count_rows(rows.training))
    options = TrainingOptions(
        architecture="transform",
        architecture_options=target.as_json(),
        latent_dim=most_channels,
        loss="mse",
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=_PACE * step if learning_rate is None else learning_rate,
        validation_fraction=validation_fraction,
        patience=patience or epochs,
        seed=seed,
    )
    kept = options.as_json() | {"architecture": "klt", "better_than": "transform"}
    if not units:
        return trained_linear(linear, to_beat, split, kept)
    with seeded(seed, device) as on:
        model = _start(linear, step, units).to(on)
        trained = run_training(
            model, options, source, rows, sample.to_network, checkpoint, progress
        )
    found = _meet(target, model, linear)
    if found is not None and target.prefers(found, to_beat):
        return replace(trained, rate=found)
    return replace(trained_linear(linear, to_beat, split, kept), history=trained.history)


def _enough(split: RowSplit, batch_size: int) -> RowSplit:
    """So many of the training rows that the steps see each of them several times."""
    return RowSplit(thinned(split.training, STEPS * batch_size // _LEAST_EPOCHS), split.validation)


def _start(linear: LinearCodec, step: float, units: int) -> Transform:
    channels = min(linear.measure(_CHANNELS_AT * step).channels, _MOST_CHANNELS)
    deviations = torch.from_numpy(linear.deviations(channels))
    return Transform(
        linear.modules(channels),
        deviations,
        step,
        price_of(step),
        units=units,
        bounds=linear.held_out.bounds,
        residual_step=linear.held_out.residual_step,
    )


def _meet(target: RateTarget, model: Transform, linear: LinearCodec) -> RatePoint | None:
    """The step near the one it was trained for at which it meets the target, if there is one."""
    held_out = linear.held_out
    weights = sum(weight.numel() for weight in model.decoder.parameters())
    share = decoder_bits(weights, linear.for_samples)
    latents = torch_latents(model.encoder, held_out.samples)

    def measure(step: float) -> RatePoint:
        spacing = np.float32(step)
        integers = np.rint(latents / spacing)
        decoded = torch_reconstruction(model.decoder, integers * spacing)
        point = held_out.measure(float(spacing), entropy_bits(integers), decoded)
        return replace(point, decoder_bits=share)

    try:
        return target.find(measure, model.step / _REACH, model.step * _REACH)
    except InvalidInput:
        return None
