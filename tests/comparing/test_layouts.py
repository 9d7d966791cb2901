"""How samples are laid before a codec of arrays."""

import numpy as np
import pytest

from engine.comparing.layouts import (
    MOSAIC,
    POSITION_MAJOR,
    SEQUENCE,
    SINGLE,
    STACK,
    VOLUME,
    allows,
    lay,
    unlay,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 200, (6, 5, 7, 3), np.uint8)
SAMPLES = {
    "images in colour": IMAGES,
    "an odd number of grey images": IMAGES[:5, ..., 0],
    "images of one channel": IMAGES[..., :1],
    "fields": RNG.random((6, 8, 9), np.float32),
    "vectors": RNG.random((5, 12), np.float32),
    "volumes": RNG.random((3, 8, 6, 7), np.float32),
    "volumes in colour": RNG.random((2, 3, 4, 5, 3), np.float32),
}


@pytest.mark.parametrize("layout", [SEQUENCE, POSITION_MAJOR, VOLUME, STACK, MOSAIC])
@pytest.mark.parametrize("kind", SAMPLES)
def test_a_layout_is_undone(kind, layout):
    samples = SAMPLES[kind]
    if not allows(layout, samples.shape[1:]):
        assert layout == MOSAIC and kind.startswith("volumes")
        return
    laid = lay(samples, layout)
    assert laid.flags.c_contiguous
    assert laid.ndim <= 4
    np.testing.assert_array_equal(unlay(laid, layout, samples.shape), samples)


def test_a_mosaic_shows_samples_side_by_side():
    mosaic = lay(IMAGES, MOSAIC)
    assert mosaic.shape == (2 * 5, 3 * 7, 3)
    np.testing.assert_array_equal(mosaic[:5, 7:14], IMAGES[1])
    assert lay(IMAGES[..., :1], MOSAIC).shape == (2 * 5, 3 * 7)


def test_a_stack_has_channels_one_below_the_other():
    stack = lay(IMAGES, STACK)
    assert stack.shape == (6 * 3 * 5, 7)
    np.testing.assert_array_equal(stack[5:10], IMAGES[0, ..., 1])


def test_only_images_stand_alone():
    assert allows(SINGLE, (5, 7)) and allows(SINGLE, (5, 7, 3)) and allows(SINGLE, (5, 7, 1))
    assert not allows(SINGLE, (12,)) and not allows(SINGLE, (5, 7, 4))
    assert not allows(SINGLE, (5, 7, 8, 3))
