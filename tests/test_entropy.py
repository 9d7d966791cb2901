import numpy as np
import pytest

from engine.entropy import entropy, entropy_bits, sample_bits


def test_entropy_of_each_channel():
    latents = np.array([[0, 1, 5], [0, -1, 5], [0, 2, 5], [0, 7, 6]])
    assert entropy_bits(latents) == pytest.approx([0, 2, 0.8112781])


def test_positions_of_a_channel_share_its_distribution():
    channels = np.array([[0, 0, 0, 0], [0, -1, 2, 7], [5, 5, 5, 6]])
    latents = np.stack([channels, channels]).reshape(2, 3, 2, 2)
    assert sample_bits(latents) == pytest.approx([0, 4 * 2, 4 * 0.8112781])
    assert sample_bits(channels.T) == pytest.approx([0, 2, 0.8112781])


def test_integers_far_apart_take_no_more_memory_than_others():
    assert entropy(np.array([[-(1 << 50), 1 << 50], [3, 3]])) == pytest.approx(1.5)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64", "uint64"])
def test_the_ends_of_a_dtype_are_told_apart(dtype):
    limits = np.iinfo(dtype)
    assert entropy(np.array([limits.min, limits.max], dtype)) == 1
    assert entropy(np.array([limits.max, limits.max - 1], dtype)) == 1


def test_whole_floats_below_zero_count_as_the_integers_that_they_are():
    integers = np.array([-32767, -3, -3, -1, 0, 2, 2, 2])
    assert entropy(integers.astype(np.float64)) == entropy(integers) == pytest.approx(2.1556391)
