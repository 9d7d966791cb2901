"""The codecs and the data on which speed is measured: real digits, varied until they are many."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import engine
from bench.digits import load_digits

NETWORK_SHAPE = (1, 28, 28)
LATENT_DIM = 32
_BLOCK_SAMPLES = 65536


@dataclass(frozen=True)
class Workload:
    """A codec on the CPU, and the torch modules it was exported from, which see 0..1."""

    name: str
    codec: engine.Codec
    encoder: Any
    decoder: Any


@functools.cache
def make_workload(name: str) -> Workload:
    """Fit `dense`, `conv` or `klt` to the digits for an epoch and make a codec of it.

    How it runs is measured, as `engine info` or a long job does once on each machine. `klt` is as
    large as a codec trained for rate and distortion; see `bench.klt`.
    """
    # Loads torch before engine.training asks torch's threads to wait without spinning: a script
    # of torch alone, which the benchmarks measure too, wouldn't.
    from bench.klt import klt_pair
    from engine.runtime.encoder_choice import encoder_speed_ups
    from engine.runtime.tuning import tune
    from engine.sources import open_source
    from engine.training import fit

    digits, _ = load_digits()
    with open_source(digits) as source:
        trained = fit(
            source,
            network_shape=NETWORK_SHAPE,
            to_network=_to_unit,
            arch=klt_pair(_to_unit(digits), NETWORK_SHAPE) if name == "klt" else name,
            latent_dim=LATENT_DIM,
            epochs=1,
            device="cpu",
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "codec")
        networks = trained.encoder, trained.decoder
        codec = engine.pack(*networks, path, digits, input_range=(0, 1), device="cpu")
    tune(codec)
    encoder_speed_ups(codec)
    return Workload(name, codec, trained.encoder, trained.decoder)


def varied_digits(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Digits `(count, 28, 28)`, each darkened by a factor of its own, so that none comes twice."""
    digits, _ = load_digits()
    rng = np.random.default_rng(seed)
    varied = np.empty((count, *digits.shape[1:]), np.uint8)
    for start in range(0, count, _BLOCK_SAMPLES):
        block = varied[start : start + _BLOCK_SAMPLES]
        chosen = digits[rng.integers(len(digits), size=len(block))]
        brightness = rng.integers(128, 257, (len(block), 1, 1), np.uint16)
        np.copyto(block, chosen * brightness >> 8, casting="unsafe")
    return varied


def _to_unit(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = raw[:, np.newaxis] / np.float32(255)
    return scaled
