import numpy as np
import pytest

from engine.entropy import entropy_bits


def test_entropy_of_each_channel():
    latents = np.array([[0, 1, 5], [0, -1, 5], [0, 2, 5], [0, 7, 6]])
    assert entropy_bits(latents) == pytest.approx([0, 2, 0.8112781])
