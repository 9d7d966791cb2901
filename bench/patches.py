"""Natural 32x32 patches, cut from the photographs that scikit-image ships, split by photograph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIZE = 32
# Grey ones count for grey patches only. Textures without a scene, drawings and micrographs are out.
TRAINING = ("astronaut", "rocket", "stereo_motorcycle", "coins", "moon")
TEST = ("camera", "chelsea", "coffee")
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as JPEG and WebP have it


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches uint8 `(n, 32, 32)` or `(n, 32, 32, 3)`, each set in a fixed mixed order.

    No photograph has patches in both sets, and those of the test don't overlap.
    """

    training: NDArray[np.uint8]
    test: NDArray[np.uint8]


def natural_patches(*, colour: bool = False, stride: int = 16) -> Patches:
    """Cut patches, grey or RGB; those that train start every `stride` pixels, so may overlap."""
    return Patches(_mixed(TRAINING, colour, stride), _mixed(TEST, colour, SIZE))


def _mixed(names: tuple[str, ...], colour: bool, stride: int) -> NDArray[np.uint8]:
    images = [image for image in map(_photograph, names) if image.ndim == 3 or not colour]
    views = images if colour else [_grey(image) for image in images]
    patches = np.concatenate([_cut(image, stride) for image in views])
    return patches[np.random.default_rng(0).permutation(len(patches))]


def _photograph(name: str) -> NDArray[np.uint8]:
    import skimage.data

    loaded = getattr(skimage.data, name)()
    image: NDArray[np.uint8] = loaded[0] if isinstance(loaded, tuple) else loaded  # the left eye's
    return image


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image if image.ndim == 2 else np.rint(image @ np.array(_LUMA)).astype(np.uint8)


def _cut(image: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    windows = np.lib.stride_tricks.sliding_window_view(image, (SIZE, SIZE), axis=(0, 1))
    chosen = windows[::stride, ::stride].reshape(-1, *windows.shape[2:])
    return chosen if image.ndim == 2 else np.moveaxis(chosen, 1, -1)
