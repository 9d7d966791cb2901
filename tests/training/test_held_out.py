"""Held-out samples: the ends of the range that their elements keep to."""

import numpy as np
import pytest

from engine.codec.sample_format import SampleFormat
from engine.sources import open_source
from engine.training.batches import split_rows
from engine.training.held_out import HeldOut


def held_out(samples):
    low, high = (0.0, 255.0) if samples.dtype == np.uint8 else (samples.min(), samples.max())
    shape = samples.shape[1:]
    sample = SampleFormat(shape, samples.dtype, shape, (float(low), float(high)))
    source = open_source(samples)
    return HeldOut(source, split_rows(source, 0.5, 0).validation, sample)


def normal(count=200, size=20):
    return np.random.default_rng(0).normal(size=(count, size)).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "bounds"),
    [
        (normal(), (None, None)),
        (normal(2), (None, None)),
        (np.maximum(normal(), 0), (0.0, None)),
        (np.minimum(normal(), 1), (None, 1.0)),
        ((200 * normal()).clip(0, 255).astype(np.uint8), (0.0, 1.0)),
        ((60 * normal()).clip(0, 250).astype(np.uint8), (0.0, None)),
        (np.full((40, 3), 273.15, np.float32), (0.0, None)),
    ],
)
def test_ends_of_the_range_bound_samples_where_many_elements_lie_there(samples, bounds):
    assert held_out(samples).bounds == bounds
