"""Train an autoencoder on a dataset and make a codec of it."""

from __future__ import annotations

import io
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from engine.codec.files import CodecFiles, check_codec_target
from engine.codec.manifest import Bits
from engine.codec.sample_format import Channels, SampleFormat, network_view
from engine.errors import InvalidInput
from engine.jobs.agreement import check_agreement, held_out_samples
from engine.jobs.default_architecture import default_architecture
from engine.jobs.fit import check_counts
from engine.jobs.gaps import without_gaps
from engine.jobs.pack import check_options, sample_format, save_codec
from engine.jobs.promise import FillValue, absolute_bound
from engine.runtime.calibration import calibration_rows, value_range
from engine.runtime.codec import Codec
from engine.runtime.narrowing import Weights, check_weights
from engine.runtime.packing import finish_codec, wrap_networks
from engine.runtime.round_trip import measured_samples
from engine.sources import Source, open_source

if TYPE_CHECKING:
    from engine.training import Progress, RateTarget, Trained

FOR_A_RATE = ("klt", "transform", "conv-transform")
CONVOLUTIONAL = ("conv", "conv-transform")
EPOCHS, BATCH, PATIENCE = 20, 64, 10
LEARNING_CURVE = "learning_curve.png"
METRICS = ("error", "cosine")


def train(
    data: Any,
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    arch: Any = "auto",
    latent_dim: int | None = None,
    target_psnr: float | None = None,
    target_bytes: float | None = None,
    rate_lambda: float | None = None,
    max_error: float | str | None = None,
    for_samples: int | None = None,
    metric: Literal["error", "cosine"] = "error",
    loss: str = "mse",
    bits: Bits | None = None,
    weights: Weights = "auto",
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    patience: int | None = None,
    seed: int = 0,
    channels: Channels | Literal["auto"] = "auto",
    arch_options: Mapping[str, float] | None = None,
    fill_gaps: bool = False,
    fill_value: FillValue = "auto",
    overwrite: bool = False,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
) -> Codec:
    """Train a codec and save it at `path`; interrupted, the same call goes on where it stopped.

    Args:
        data: a path or an array-like of shape `(samples, *sample_shape)`.
        path: folder of the codec; its training state lies beside it until the codec is written.
        key: which array of an `.npz` file or Zarr group.
        arch: for the rate that is asked for `klt`, the linear codec, or a network trained from
            a linear codec on (or that one where it is better): `transform` for vectors and small
            samples, `conv-transform` for larger images, signals and volumes; `auto` is `transform`
            for samples of up to 4096 elements, for larger ones `conv`, or `conv-transform` where a
            target is given; the name of another network (`engine.training.ARCHITECTURES`), or your
            own `(encoder, decoder)` pair of `torch.nn.Module`, which see float32 in 0..1, channels
            first.
        latent_dim: numbers per latent; by default a 24th of the bytes of a sample. Of codecs for a
            rate the most they may be (of `conv-transform`, per block); by default as many as carry
            rate.
        target_psnr: for a rate: PSNR, dB, of held-out samples; 30 where no target is given.
        target_bytes: for a rate: bytes a held-out sample's latents take at their entropy.
        rate_lambda: for a rate: squared error of a sample, summed over its elements with the
            data's range as 1, that one bit may cost.
        max_error: for a rate: the bound that stores of this codec are to keep, in the data's units
            or, such as `"1%"`, of their range; latents and residuals together are made few.
        for_samples: for a rate: how many samples will share the decoder, whose bytes then count;
            with `auto` as many as there are.
        metric: of vectors `cosine`, the linear codec that keeps inner products and neighbours best.
        loss: `mse` or `bce`.
        bits: width of a latent, 8 or 16; by default 8, for a rate 16 where 8 would saturate at
            half the step.
        weights: how the networks' weights are kept: `auto`, in as few bytes as a loss of 0.02 dB
            allows; `float32`, `float16` or `int8`, whatever that loses.
        epochs: passes over the training samples; 20, of `transform` as many as make 3000 steps (at
            most 25 where latents are fine), of `conv-transform` 1500, over a part of large data.
        batch_size: samples per step; 64, of `transform` 128, of `conv-transform` as many as have
            some hundred blocks.
        learning_rate: peak of the schedule.
        patience: epochs without a better validation loss after which training ends; 10, of
            transforms all.
        seed: of initial weights, order and noise.
        channels: where samples keep their channels.
        arch_options: further options of the architecture, such as `{"noise": 0.3}`.
        fill_gaps: train on data with NaN, infinity and fill values, each replaced by the mean of
            its sample; `compress` keeps them bit for bit under a guarantee.
        fill_value: with `fill_gaps`, values that mark missing elements; `auto` as in `compress`.
        overwrite: replace a codec that is there.
        device: where to train and where the returned codec runs.
        progress: called about 100 times per epoch and at its end.

    Raises:
        InvalidInput: data or options that can't be used.
        GuaranteeViolated: torch and onnxruntime disagree on the exported networks.
        MissingExtra: torch is not installed.
    """
    check_options(bits=8 if bits is None else bits)
    check_weights(weights)
    check_counts(epochs=epochs, batch_size=batch_size, patience=patience, for_samples=for_samples)
    check_codec_target(path, overwrite=overwrite)
    from engine.training import choose_target, fit

    state = _state_folder(Path(path))
    shared: dict[str, Any] = {"seed": seed, "progress": progress}
    run: dict[str, Any] = {"learning_rate": learning_rate, "device": device, "checkpoint": state}
    with open_source(data, key=key) as opened:
        source = without_gaps(opened, fill_value) if fill_gaps else opened
        targets = target_psnr, target_bytes, rate_lambda, max_error
        arch, for_samples = _resolved(arch, source, metric, targets, for_samples)
        data_range = value_range(source)
        _check_squares(*data_range)
        sample = sample_format(source, _view(source, arch, channels), data_range, (0.0, 1.0))
        _check_metric(metric, arch, source.sample_shape)
        if arch in FOR_A_RATE:
            _check_rated(arch, loss, arch_options)
            trained = _fit_for_a_rate(
                arch,
                source,
                sample,
                choose_target(*targets[:3], absolute_bound(max_error, data_range)),
                {"most_channels": latent_dim, "for_samples": for_samples, **shared},
                {"metric": metric},
                {"epochs": epochs, "batch_size": batch_size, "patience": patience, **run},
            )
        else:
            _check_no_target(*targets, for_samples)
            trained = fit(
                source,
                network_shape=sample.network_shape,
                to_network=sample.to_network,
                arch=arch,
                latent_dim=latent_dim or default_latent_dim(sample),
                loss=loss,
                epochs=epochs or EPOCHS,
                batch_size=batch_size or BATCH,
                patience=patience or PATIENCE,
                arch_options=arch_options or {},
                **shared,
                **run,
            )
        files = _export(trained, source, sample, bits, weights)
    codec = save_codec(files, path, overwrite=overwrite, device=device)
    shutil.rmtree(state, ignore_errors=True)
    return codec


def _export(
    trained: Trained, source: Source, sample: SampleFormat, bits: Bits | None, weights: Weights
) -> CodecFiles:
    from engine.training import export_pair, save_learning_curve

    extra = {}
    if trained.history:
        curve = io.BytesIO()
        save_learning_curve(trained.history, curve)
        extra[LEARNING_CURVE] = ("learning-curve", curve.getvalue())
    networks = export_pair(trained.encoder, trained.decoder, sample.network_shape)
    spacing = None if trained.rate is None else trained.rate.step
    rows = calibration_rows(source)
    bare = wrap_networks(*networks, sample, rows, bits, trained.record(), extra, spacing=spacing)
    check_agreement(trained, bare, source)
    held_out = held_out_samples(trained, source, measured_samples(sample.shape))
    return finish_codec(bare, rows, weights, held_out)


def _check_squares(low: float, high: float) -> None:
    """Refuse a range that errors may have no squares in.

    Raises:
        InvalidInput: it is as wide as that.
    """
    if not math.isfinite((high - low) * (high - low)):
        raise InvalidInput(
            f"errors of values from {low:.3g} to {high:.3g} can't be squared in float64; rescale "
            f"the data"
        )


def default_latent_dim(sample: SampleFormat) -> int:
    """Numbers per latent if nobody says: a 24th of the bytes of a sample, within 2 and 512."""
    return int(np.clip(sample.size_bytes // 24, 2, 512))


def _resolved(
    arch: Any,
    source: Source,
    metric: str,
    targets: Sequence[float | str | None],
    for_samples: int | None,
) -> tuple[Any, int | None]:
    """What architecture `auto` is for this data, and how many samples then share its decoder."""
    if not (isinstance(arch, str) and arch == "auto"):
        return arch, for_samples
    targeted = any(target is not None for target in targets)
    fitting = default_architecture(source.sample_shape, targeted=targeted)
    found = "klt" if metric == "cosine" else fitting
    return found, for_samples or (len(source) if found in FOR_A_RATE else None)


def _fit_for_a_rate(
    arch: str,
    source: Source,
    sample: SampleFormat,
    target: RateTarget,
    shared: Mapping[str, Any],
    linear: Mapping[str, Any],
    schedule: Mapping[str, Any],
) -> Trained:
    from engine.training import TRANSFORM_KINDS, fit_klt, fit_transform

    if arch == "klt":
        return fit_klt(source, sample, target, **shared, **linear)
    return fit_transform(source, sample, target, kind=TRANSFORM_KINDS[arch], **shared, **schedule)


def _check_rated(arch: str, loss: str, arch_options: Mapping[str, float] | None) -> None:
    if loss != "mse":
        raise InvalidInput(f"arch {arch!r} minimises squared error: loss must be mse, got {loss}")
    if arch_options:
        raise InvalidInput(f"arch {arch!r} has no options, got {', '.join(arch_options)}")


def _check_metric(metric: str, arch: Any, shape: tuple[int, ...]) -> None:
    if metric not in METRICS:
        raise InvalidInput(f"metric must be {' or '.join(METRICS)}, got {metric!r}")
    if metric == "cosine" and (arch != "klt" or len(shape) != 1):
        raise InvalidInput(
            f"metric 'cosine' is for vectors and arch 'klt' or 'auto', got samples of shape "
            f"{shape} and arch {arch!r}"
        )


def _check_no_target(*targets: float | str | None) -> None:
    if any(target is not None for target in targets):
        raise InvalidInput(
            "target_psnr, target_bytes, rate_lambda, max_error and for_samples are for arch "
            f"{', '.join(map(repr, FOR_A_RATE))}; others take latent_dim"
        )


def _view(
    source: Source, arch: Any, channels: Channels | Literal["auto"]
) -> tuple[tuple[int, ...], bool]:
    shape = source.sample_shape
    if arch in CONVOLUTIONAL and len(shape) == 1:
        return (1, *shape), False  # a convolution sees a vector as a signal of one channel
    return network_view(shape, channels)


def _state_folder(path: Path) -> Path:
    return path.with_name(f"{path.name}.training")
