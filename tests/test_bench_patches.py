"""Patches of photographs are cut as the benchmarks need them."""

import numpy as np
import pytest

pytest.importorskip("skimage")

from bench.patches import TEST, TRAINING, natural_patches


@pytest.mark.parametrize("colour", [False, True])
def test_patches_of_the_test_tile_its_photographs(colour):
    import skimage.data

    patches = natural_patches(colour=colour, stride=64)
    assert patches.training.shape[1:] == patches.test.shape[1:] == (32, 32, 3)[: 2 + colour]
    assert patches.training.dtype == patches.test.dtype == np.uint8
    photograph = skimage.data.chelsea() if colour else skimage.data.camera()
    for corner in (photograph[:32, :32], photograph[32:64, 96:128]):
        assert (patches.test == corner).all(axis=tuple(range(1, patches.test.ndim))).sum() == 1


def test_they_are_the_same_every_time_and_of_different_photographs():
    first, second = natural_patches(stride=64), natural_patches(stride=64)
    assert np.array_equal(first.test, second.test)
    assert np.array_equal(first.training, second.training)
    assert not set(TRAINING) & set(TEST)
    assert len(first.test) == 598
