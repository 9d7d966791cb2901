"""Pack a ready encoder and decoder, ONNX files or torch modules, into a codec."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Literal

from engine.codec.files import CodecFiles, check_codec_target
from engine.codec.graph import input_shape, parse_network
from engine.codec.manifest import Bits
from engine.codec.sample_format import Channels, SampleFormat, network_view
from engine.errors import InvalidInput
from engine.jobs.gaps import without_gaps
from engine.jobs.promise import FillValue
from engine.runtime.calibration import calibration_rows, value_range
from engine.runtime.codec import Codec
from engine.runtime.device import resolve_device
from engine.runtime.narrowing import Weights, check_weights
from engine.runtime.packing import matching_view, pack_networks
from engine.sources import Source, open_source


def pack(
    encoder: Any,
    decoder: Any,
    path: str | os.PathLike[str],
    calibrate: Any,
    *,
    key: str | None = None,
    bits: Bits = 8,
    weights: Weights = "float32",
    input_range: tuple[float, float] | None = None,
    channels: Channels | Literal["auto"] = "auto",
    fill_gaps: bool = False,
    fill_value: FillValue = "auto",
    overwrite: bool = False,
    device: str = "auto",
) -> Codec:
    """Make a codec of a pretrained pair and save it at `path`.

    Args:
        encoder: a path of an ONNX file or a `torch.nn.Module`: float32 `(batch, *sample_shape)`
            to float32 latents `(batch, ...)`; it may want channels first, an axis of one channel,
            or flattened samples.
        decoder: likewise, from the latents back to what the encoder takes.
        path: folder of the codec.
        calibrate: samples like those to compress; fits the latents' scales and the data's range.
        key: which array of an `.npz` file or Zarr group `calibrate` is.
        bits: width of a latent; a model that was not trained for 8 keeps its quality at 16.
        weights: how the networks' weights are kept: as they are, `float32`; `float16` or `int8`,
            whatever that loses; or `auto`, in as few bytes as a loss of
            0.02 dB on `calibrate` allows.
        input_range: what the networks expect the data's range to be mapped onto, such as
            `(0, 1)` or `(-1, 1)`; without it they see the values as they are.
        channels: where samples keep their channels, for torch modules (they get channels first).
        fill_gaps: calibrate on data with NaN, infinity and fill values, each replaced by the mean
            of its sample.
        fill_value: with `fill_gaps`, values that mark missing elements; `auto` as in `compress`.
        overwrite: replace a codec that is there.
        device: where the returned codec runs: `auto`, `cpu` or `cuda`.

    Raises:
        InvalidInput: the networks don't fit the data or each other.
        DeviceUnavailable: `device` can't run networks here.
    """
    check_options(bits=bits, input_range=input_range)
    check_weights(weights)
    check_codec_target(path, overwrite=overwrite)
    resolve_device(device)
    with open_source(calibrate, key=key) as opened:
        source = without_gaps(opened, fill_value) if fill_gaps else opened
        if isinstance(encoder, str | os.PathLike):
            networks = (_read(encoder), _read(decoder))
            declared = input_shape(parse_network(networks[0], str(encoder)))
            view = matching_view(declared, source.sample_shape)
        else:
            from engine.training import export_pair

            view = network_view(source.sample_shape, channels)
            networks = export_pair(encoder, decoder, view[0])
        sample = sample_format(source, view, value_range(source), input_range)
        rows = calibration_rows(source)
    files = pack_networks(*networks, sample, rows, bits, training={}, weights=weights)
    return save_codec(files, path, overwrite=overwrite, device=device)


def sample_format(
    source: Source,
    view: tuple[tuple[int, ...], bool],
    data_range: tuple[float, float],
    input_range: tuple[float, float] | None,
) -> SampleFormat:
    """How a network with `view` = (network shape, channels last) sees the samples of `source`."""
    network_shape, channels_last = view
    low, high = input_range or data_range
    return SampleFormat(
        shape=source.sample_shape,
        dtype=source.dtype,
        network_shape=network_shape,
        data_range=data_range,
        network_range=(float(low), float(high)),
        channels_last=channels_last,
    )


def save_codec(
    files: CodecFiles, path: str | os.PathLike[str], *, overwrite: bool, device: str
) -> Codec:
    """Save the files of a codec and open it."""
    files.save(path, overwrite=overwrite)
    return Codec(files, device)


def check_options(*, bits: int, input_range: tuple[float, float] | None = None) -> None:
    """Refuse options of a codec before any work is spent.

    Raises:
        InvalidInput: `bits` is neither 8 nor 16, or `input_range` is empty.
    """
    if bits not in (8, 16):
        raise InvalidInput(f"bits must be 8 or 16, got {bits}")
    if input_range is None:
        return
    low, high = input_range if len(input_range) == 2 else (math.nan, math.nan)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidInput(f"input_range must be LOW < HIGH, got {input_range}")


def _read(path: Any) -> bytes:
    if not isinstance(path, str | os.PathLike):
        raise InvalidInput(
            f"expected encoder and decoder both as ONNX files or both as torch modules, "
            f"found {type(path).__name__} beside a file"
        )
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: can't be read: {error.strerror}") from None
