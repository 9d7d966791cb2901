"""Cheaper encoders of a codec: which there are, and whether one is worth its loss.

A guarantee is made against the decoder, so an encoder may be approximated freely. What a store
keeps is the float32 encoder; its latents may come from another.
"""

from __future__ import annotations

import hashlib
import math
import statistics
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.codec.files import ENCODER, CodecFiles
from engine.errors import InvalidInput
from engine.runtime.codec import Codec, batches
from engine.runtime.half_encoder import half_encoder
from engine.runtime.integer_encoder import integer_encoder

EncoderName = Literal["float32", "int8", "float16"]
OFFERED: dict[str, tuple[EncoderName, ...]] = {"cpu": ("int8",), "cuda": ("float16",)}
"""The cheaper encoders by device: onnxruntime has no fast kernels for the others there."""

MOST_LOSS_DB = 0.05
LEAST_SPEED_UP = 1.1
CALIBRATION_SAMPLES = 512
_HELD_OUT_SAMPLES = 512
_BUDGET_S = 0.6
_STEP = np.ones(1, np.float32)


@dataclass(frozen=True)
class EncoderChoice:
    """The encoder to use, and what was measured of it against the float32 one.

    `psnr_loss_db` is how much lower the PSNR of held-out samples is, `speed_up` how many times as
    many samples it encodes per second; `content` is the graph, None where it is the codec's own.
    """

    name: EncoderName
    psnr_loss_db: float = 0.0
    speed_up: float = 1.0
    content: bytes | None = None

    @property
    def identity(self) -> dict[str, str]:
        """Names the graph, JSON-able: its kind, and its digest where it isn't the codec's own."""
        if self.content is None:
            return {"name": self.name}
        return {"name": self.name, "sha256": hashlib.sha256(self.content).hexdigest()}

    def apply(self, codec: Codec) -> Codec:
        """`codec` with this encoder."""
        return codec if self.content is None else codec.with_encoder(self.content)


def make_variant(files: CodecFiles, name: EncoderName, samples: NDArray[Any]) -> bytes | None:
    """The encoder `name` of a codec: raw samples and step in, integer latents out.

    `samples` `(n, *sample_shape)` calibrate it; the same ones give the same bytes on machines of
    one type. None where the network has nothing that it could make cheaper.

    Raises:
        CorruptCodec: there is no encoder, or it is damaged.
        InvalidInput: there is no such variant, or no sample.
    """
    content = files.role(ENCODER)
    if name == "float32":
        return content
    if name == "float16":
        return half_encoder(content)
    if name != "int8":
        raise InvalidInput(f"the encoder must be float32, int8 or float16, got {name!r}")
    if not len(samples):
        raise InvalidInput("an int8 encoder is calibrated on samples, found none")
    return integer_encoder(content, samples)


def named_encoder(codec: Codec, name: EncoderName, samples: NDArray[Any]) -> EncoderChoice | None:
    """The cheaper encoder `name` as `choose_encoder` would make it of the same samples."""
    content = make_variant(codec.files, name, _spread(samples[::2], CALIBRATION_SAMPLES))
    return None if content is None else EncoderChoice(name, content=content)


def choose_encoder(
    codec: Codec,
    samples: NDArray[Any],
    step: float = 1.0,
    *,
    batch_samples: int | None = None,
    budget_s: float = _BUDGET_S,
) -> EncoderChoice:
    """The fastest encoder that loses less than 0.05 dB, if it is at least 1.1 times as fast.

    `samples` `(n, *sample_shape)` are finite; every other one calibrates, the rest are compared.
    Takes `budget_s` and a moment to make them, where a sample takes less than a millisecond.
    float32 where there are too few samples.

    Raises:
        CorruptCodec: a network is damaged.
        DeviceUnavailable: a network can't be run here.
    """
    held_out = samples[1::2]
    if not len(held_out):
        return EncoderChoice("float32")
    made = [named_encoder(codec, name, samples) for name in OFFERED[codec.device]]
    variants = {choice.name: choice.apply(codec).on(codec.device, 1) for choice in made if choice}
    own = codec.with_encoder(codec.files.role(ENCODER)).on(codec.device, 1)
    batch = np.resize(samples, (batch_samples or codec.batch_samples, *codec.sample_shape))
    speed_ups = _speed_ups(own, variants, batch, budget_s / 2)
    held_out = _spread(held_out, _HELD_OUT_SAMPLES)
    for name in sorted(speed_ups, key=lambda name: -speed_ups[name]):
        if speed_ups[name] < LEAST_SPEED_UP:
            break
        loss = psnr_loss_db(own, variants[name], held_out, step, budget_s / 2)
        if loss < MOST_LOSS_DB:
            return EncoderChoice(name, loss, speed_ups[name], variants[name].encoder_variant)
    return EncoderChoice("float32")


def _speed_ups(
    own: Codec, variants: dict[EncoderName, Codec], batch: NDArray[Any], budget_s: float
) -> dict[EncoderName, float]:
    """How many times as fast each variant is, by medians of runs that take turns."""
    latents = np.empty((len(batch), *own.latent_shape), own.manifest.latent.dtype)
    runs = {name: variant.encoder.bind(_STEP) for name, variant in variants.items()}
    runs |= {"float32": own.encoder.bind(_STEP)}
    seconds: dict[EncoderName, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(batch, latents)
    end = time.perf_counter() + budget_s
    while not seconds["float32"] or time.perf_counter() < end:
        for name, run in runs.items():
            began = time.perf_counter()
            run(batch, latents)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {name: medians["float32"] / medians[name] for name in variants}


def psnr_loss_db(
    own: Codec, variant: Codec, samples: NDArray[Any], step: float, budget_s: float = _BUDGET_S
) -> float:
    """How much lower the PSNR of `samples` is with the encoder of `variant`; below 0 if higher.

    Both are decoded by the codec's decoder; stops at the end of a batch, once the time is over.
    """
    exact, approximate = 0.0, 0.0
    end = time.perf_counter() + budget_s
    for start, stop in batches(len(samples), own.batch_samples):
        rows = samples[start:stop]
        exact += _squared_error(own, own, rows, step)
        approximate += _squared_error(own, variant, rows, step)
        if time.perf_counter() > end:
            break
    if not (exact and approximate):
        return math.inf if approximate else 0.0
    return 10 * math.log10(approximate / exact)


def _squared_error(decoding: Codec, encoding: Codec, samples: NDArray[Any], step: float) -> float:
    decoded = decoding.decode(encoding.encode(samples, step), step)
    return float(np.square(decoded.astype(np.float64) - samples.astype(np.float64)).sum())


def _spread(samples: NDArray[Any], count: int) -> NDArray[Any]:
    """At most `count` of the samples, from all of them."""
    return np.ascontiguousarray(samples[:: math.ceil(len(samples) / count)])
