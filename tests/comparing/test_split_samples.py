"""Which samples are held out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.comparing.split_samples import plan_apart, plan_split, read_split
from engine.errors import InvalidInput
from engine.sources import open_source


def rows_of(runs):
    return np.concatenate([np.arange(start, stop) for start, stop in runs])


@given(st.integers(4, 5000), st.integers(1, 10**6), st.integers(1, 2000), st.integers(0, 9))
def test_held_out_chunks_are_whole_and_never_learnt(samples, sample_bytes, wanted, seed):
    split = plan_split(samples, sample_bytes, test_samples=wanted, seed=seed)
    test, train = rows_of(split.test), rows_of(split.train)
    assert not np.intersect1d(test, train).size
    assert test.max() < samples and train.max() < samples and len(train)
    assert (np.diff(test) > 0).all() and (np.diff(train) > 0).all()
    counts = np.unique(test // split.chunk_samples, return_counts=True)[1]
    assert (counts == split.chunk_samples).all()
    assert len(test) <= max(split.chunk_samples, samples / 5)
    assert len(test) < wanted + split.chunk_samples
    if samples * sample_bytes < 10**6:
        assert len(test) + len(train) == samples


def test_the_seed_draws():
    splits = [plan_split(5000, 784, seed=seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


def test_too_few_samples_are_refused():
    with pytest.raises(InvalidInput, match="two chunks"):
        plan_split(1, 784)
    with pytest.raises(InvalidInput, match="--chunk-samples"):
        plan_split(100, 784, chunk_samples=64)


def test_what_is_read_is_what_was_planned(digits):
    split = plan_split(len(digits[:700]), 784, test_samples=128)
    data = read_split(open_source(digits[:700]), split)
    np.testing.assert_array_equal(data.test, digits[rows_of(split.test)])
    np.testing.assert_array_equal(data.train, digits[rows_of(split.train)])
    np.testing.assert_allclose(data.mean, data.train.mean(axis=0), rtol=1e-5)
    assert [len(chunk) for chunk in data.chunks] == [64, 64]
    assert data.value_range == 255
    changed = read_split(open_source(255 - digits[:700]), split)
    assert data.digest != changed.digest


def test_another_dataset_is_held_out_as_a_whole(digits):
    train, test = open_source(digits[:300]), open_source(digits[1000:1500])
    data = read_split(train, plan_apart(300, 500, 784, test_samples=100), test)
    assert len(data.test) == 128 and len(data.train) == 256
    assert data.samples == 300
    known = {digit.tobytes() for digit in digits[1000:1500]}
    assert all(digit.tobytes() in known for digit in data.test)
    with pytest.raises(InvalidInput, match="same kind"):
        read_split(train, plan_apart(300, 500, 784), open_source(digits[:500, :20]))
    with pytest.raises(InvalidInput, match="fill a chunk"):
        plan_apart(300, 10, 784, chunk_samples=64)
