"""Make a codec of two bare float networks: calibrate, wrap, measure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from engine.codec.certificate import CERTIFICATE_FILE, UNCERTIFIED, Certificate
from engine.codec.files import CERTIFICATE, DECODER, ENCODER, CodecFiles, file_entry
from engine.codec.graph import (
    build_decoder,
    build_encoder,
    input_shape,
    output_shape,
    parse_network,
)
from engine.codec.manifest import Bits, LatentFormat, Manifest
from engine.codec.sample_format import SampleFormat
from engine.errors import CorruptCodec, InvalidInput
from engine.quality import peak_value, psnr_db
from engine.runtime.calibration import calibrate_latents, uniform_latents
from engine.runtime.certification import build_certificate, probe_candidates
from engine.runtime.codec import Codec, batches
from engine.runtime.narrowing import Weights, narrow_networks
from engine.runtime.session import run_bare_session

MEASURED_SAMPLES = 1024


def pack_networks(
    encoder: bytes,
    decoder: bytes,
    sample: SampleFormat,
    calibration: NDArray[Any],
    bits: Bits | None,
    training: Mapping[str, Any],
    weights: Weights = "float32",
) -> CodecFiles:
    """Make a codec of bare networks; see `wrap_networks` and `finish_codec`."""
    bare = wrap_networks(encoder, decoder, sample, calibration, bits, training)
    return finish_codec(bare, calibration, weights)


def wrap_networks(
    encoder: bytes,
    decoder: bytes,
    sample: SampleFormat,
    calibration: NDArray[Any],
    bits: Bits | None,
    training: Mapping[str, Any],
    extra: Mapping[str, tuple[str, bytes]] | None = None,
    spacing: float | None = None,
) -> CodecFiles:
    """Wrap bare networks as graphs whose scales fit the `calibration` samples `(n, *shape)`.

    `extra` maps names of further files to their role and content. `spacing` is the distance of two
    integers where all channels are in one unit, and the samples decide on no more than the bits.

    Raises:
        InvalidInput: the networks don't fit the samples or each other.
    """
    networks = [
        parse_network(content, role) for role, content in ((ENCODER, encoder), (DECODER, decoder))
    ]
    run = run_bare_session(encoder, ENCODER)
    latent = (
        calibrate_latents(run, calibration, sample, bits or 8)
        if spacing is None
        else uniform_latents(run, calibration, sample, spacing, bits)
    )
    _check_shapes(networks[1], sample, latent)
    _check_decoder(decoder, sample, latent)
    files = {
        "encoder.onnx": (ENCODER, build_encoder(networks[0], sample, latent)),
        "decoder.onnx": (DECODER, build_decoder(networks[1], sample, latent)),
        **(extra or {}),
    }
    bare = _codec_files(sample, latent, files, {}, training)
    try:
        bare.role(ENCODER), bare.role(DECODER)
    except CorruptCodec as error:
        raise InvalidInput(f"the networks can't become a codec: {error}") from None
    return bare


def finish_codec(
    bare: CodecFiles,
    calibration: NDArray[Any],
    weights: Weights,
    held_out: NDArray[Any] | None = None,
) -> CodecFiles:
    """Keep the weights of wrapped networks as `weights` says, measure the codec and certify it.

    What rounding loses is measured on raw samples `held_out`, by default on every other one of
    `calibration` `(n, *shape)`.
    """
    fitted, measured_on = (calibration, held_out) if held_out is not None else _halves(calibration)
    narrow = narrow_networks(bare, fitted, measured_on, weights)
    manifest = bare.manifest
    files = {entry.name: (entry.role, bare.contents[entry.name]) for entry in manifest.files}
    for role, content in ((ENCODER, narrow.encoder), (DECODER, narrow.decoder)):
        files[manifest.file(role).name] = (role, content)
    found = _codec_files(manifest.sample, manifest.latent, files, {}, manifest.training)
    codec = Codec(found, "cpu")
    measured = {**_measure(codec, calibration), **narrow.measured}
    certificate = build_certificate(found, probe_candidates(codec, calibration))
    if isinstance(certificate, Certificate):
        files[CERTIFICATE_FILE] = (CERTIFICATE, certificate.to_bytes())
    else:
        measured[UNCERTIFIED] = certificate
    return _codec_files(manifest.sample, manifest.latent, files, measured, manifest.training)


def matching_view(
    declared: tuple[int | None, ...], shape: tuple[int, ...]
) -> tuple[tuple[int, ...], bool]:
    """How a network that declares `declared` sees samples of `shape`: network shape, channels last.

    Raises:
        InvalidInput: neither as they are, nor with an axis of one channel, nor with the channels
            moved to the front, nor flattened.
    """
    views = [(shape, False), ((1, *shape), False)]
    if len(shape) > 1:
        views += [((shape[-1], *shape[:-1]), True), ((math.prod(shape),), False)]
    for view, channels_last in views:
        if len(view) == len(declared) and all(
            size in (None, found) for size, found in zip(declared, view, strict=True)
        ):
            return view, channels_last
    raise InvalidInput(
        f"the encoder takes samples of shape {_free(declared)}, the data has samples of {shape}"
    )


def _codec_files(
    sample: SampleFormat,
    latent: LatentFormat,
    files: Mapping[str, tuple[str, bytes]],
    measured: Mapping[str, Any],
    training: Mapping[str, Any],
) -> CodecFiles:
    contents = {name: content for name, (_, content) in files.items()}
    entries = tuple(file_entry(name, role, content) for name, (role, content) in files.items())
    return CodecFiles(Manifest(sample, latent, entries, measured, training), contents)


def _halves(samples: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    return samples[::2], samples[1::2] if len(samples) > 1 else samples


def _check_shapes(decoder: ModelProto, sample: SampleFormat, latent: LatentFormat) -> None:
    for declared, expected, what in (
        (input_shape(decoder), latent.shape, "takes latents"),
        (output_shape(decoder), sample.network_shape, "returns samples"),
    ):
        fits = len(declared) == len(expected) and all(
            size in (None, found) for size, found in zip(declared, expected, strict=True)
        )
        if not fits:
            raise InvalidInput(
                f"the decoder {what} of shape {_free(declared)}, the encoder's are {expected}"
            )


def _check_decoder(decoder: bytes, sample: SampleFormat, latent: LatentFormat) -> None:
    found = run_bare_session(decoder, DECODER)(np.zeros((2, *latent.shape), np.float32)).shape
    if found != (2, *sample.network_shape):
        raise InvalidInput(
            f"the decoder returns {found} for two samples, expected {(2, *sample.network_shape)}"
        )


def _measure(codec: Codec, calibration: NDArray[Any]) -> dict[str, Any]:
    samples = calibration[:: math.ceil(len(calibration) / MEASURED_SAMPLES)]
    saturated, sum_squared_error = 0, 0.0
    for start, stop in batches(len(samples), codec.batch_samples):
        batch = samples[start:stop]
        latents = codec.encode(batch)
        saturated += int(np.count_nonzero(np.abs(latents) == codec.manifest.latent.limit))
        with np.errstate(over="ignore"):
            error = np.subtract(codec.decode(latents), batch, dtype=np.float64)
            sum_squared_error += float(np.sum(np.square(error)))
    peak = peak_value(codec.dtype, *codec.manifest.sample.data_range)
    mean_squared_error = sum_squared_error / samples.size
    if not math.isfinite(mean_squared_error):
        raise InvalidInput(
            f"errors of samples up to {np.abs(samples).max():.3g} can't be squared in float64; "
            f"rescale the data"
        )
    psnr = psnr_db(mean_squared_error, peak)
    return {
        "samples": len(samples),
        "mean_squared_error": mean_squared_error,
        "psnr_db": round(psnr, 2) if math.isfinite(psnr) else None,
        "saturated": saturated,
        "latents": len(samples) * math.prod(codec.latent_shape),
    }


def _free(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
