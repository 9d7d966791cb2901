"""Whether a cheaper encoder is worth its loss: its speed is measured once, its loss on the data."""

from __future__ import annotations

import math
import statistics
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.runtime.codec import Codec, batches
from engine.runtime.encoder_variants import (
    OFFERED,
    EncoderChoice,
    EncoderName,
    named_encoder,
    spread,
)
from engine.runtime.layout_trials import random_samples
from engine.runtime.machine import name_measurement
from engine.runtime.user_cache import read_cached, write_cached

MOST_LOSS_DB = 0.05
LEAST_SPEED_UP = 1.1
_HELD_OUT_SAMPLES = 512
_BUDGET_S = 0.3
_STEP = np.ones(1, np.float32)


def choose_encoder(
    codec: Codec, samples: NDArray[Any], step: float = 1.0, *, budget_s: float = _BUDGET_S
) -> EncoderChoice:
    """The fastest encoder that loses less than 0.05 dB, if it is at least 1.1 times as fast.

    `samples` `(n, *sample_shape)` are finite; every other one calibrates, the rest are compared.
    Takes `budget_s` for the loss, and as long for the speed where that isn't known yet, if a sample
    takes less than a millisecond. float32 where there are too few samples.

    Raises:
        CorruptCodec: a network is damaged.
        DeviceUnavailable: a network can't be run here.
    """
    held_out = spread(samples[1::2], _HELD_OUT_SAMPLES) if len(samples) > 1 else samples[:0]
    if not len(held_out):
        return EncoderChoice("float32")
    speed_ups = encoder_speed_ups(codec, budget_s=budget_s)
    for name in sorted(speed_ups, key=lambda name: -speed_ups[name]):
        if speed_ups[name] < LEAST_SPEED_UP:
            break
        choice = named_encoder(codec, name, samples)
        if choice is None:
            continue
        variant = choice.apply(codec).on(codec.device, 1)
        loss = psnr_loss_db(codec.on(codec.device, 1), variant, held_out, step, budget_s)
        if loss < MOST_LOSS_DB:
            return EncoderChoice(name, loss, speed_ups[name], choice.content)
    return EncoderChoice("float32")


def encoder_speed_ups(
    codec: Codec, *, budget_s: float = _BUDGET_S, refresh: bool = False
) -> dict[EncoderName, float]:
    """How many times as fast as the float32 encoder each cheaper one is on one thread here.

    Measured on random samples for `budget_s`, and kept in the user's cache folder; `refresh`
    measures again. A cheaper encoder that can't be made of this codec is left out.

    Raises:
        CorruptCodec: a network is damaged.
        DeviceUnavailable: a network can't be run here.
    """
    name = name_measurement("encoders", codec.device, codec.digest)
    found = None if refresh else _checked(read_cached(name), OFFERED[codec.device])
    if found is None:
        found = _measure(codec, budget_s)
        write_cached(name, found)
    return found


def _checked(document: Any, offered: tuple[EncoderName, ...]) -> dict[EncoderName, float] | None:
    """What `encoder_speed_ups` kept, or None."""
    if not (isinstance(document, dict) and document.keys() <= set(offered)):
        return None
    usable = all(type(ratio) is float and 0 < ratio < math.inf for ratio in document.values())
    return document if usable else None


def _measure(codec: Codec, budget_s: float) -> dict[EncoderName, float]:
    """How many times as fast each variant is, by medians of runs that take turns."""
    batch = random_samples(codec, codec.batch_samples)
    latents = np.empty((len(batch), *codec.latent_shape), codec.manifest.latent.dtype)
    made = [EncoderChoice("float32")]
    made += [c for name in OFFERED[codec.device] if (c := named_encoder(codec, name, batch))]
    runs = {c.name: c.apply(codec).on(codec.device, 1).encoder.bind(_STEP) for c in made}
    seconds: dict[EncoderName, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(batch, latents)  # the first run also allocates
    end = time.perf_counter() + budget_s
    while not seconds["float32"] or time.perf_counter() < end:
        for name, run in runs.items():
            began = time.perf_counter()
            run(batch, latents)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        name: medians["float32"] / median for name, median in medians.items() if name != "float32"
    }


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
