"""One image file: what its pixels are, and the pixels."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engine.errors import EngineError, InvalidInput, one_line

if TYPE_CHECKING:
    from PIL.Image import Image

# Pillow's modes: https://pillow.readthedocs.io/en/stable/handbook/concepts.html#modes
_READ_AS = {"1": "L", "P": "RGB", "LA": "RGBA"}
_DTYPES: dict[str, np.dtype[Any]] = {
    **dict.fromkeys(("L", "RGB", "RGBA"), np.dtype(np.uint8)),
    **dict.fromkeys(("I;16", "I;16L", "I;16B", "I;16N"), np.dtype(np.uint16)),
    "I": np.dtype(np.int32),
    "F": np.dtype(np.float32),
}
_CHANNELS = {"RGB": (3,), "RGBA": (4,)}


@dataclass(frozen=True)
class ImageKind:
    """The pixels of an image: shape (height, width), or (height, width, channels), and dtype."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"shape {self.shape} {self.dtype}"


def read_kind(path: Path) -> ImageKind:
    """Read from its header what the pixels of an image are.

    Raises:
        InvalidInput: the image is damaged, or of a kind that can't be kept as it is.
    """
    with _opened(path) as image:
        return _kind(path, image)


def read_pixels(path: Path, kind: ImageKind) -> npt.NDArray[Any]:
    """Decode an image of this kind; 1-bit gray becomes 0 and 255, palettes become RGB.

    Raises:
        InvalidInput: the image is damaged, or of another kind.
    """
    with _opened(path) as image:
        found = _kind(path, image)
        if found != kind:
            raise InvalidInput(f"{path}: expected {kind}, found {found}; it changed while read")
        image.info.pop("transparency", None)  # a colour key, which Pillow warns that RGB drops
        converted = image.convert(_READ_AS[image.mode]) if image.mode in _READ_AS else image
        return np.asarray(converted).astype(kind.dtype, copy=False)


@contextmanager
def _opened(path: Path) -> "Iterator[Image]":
    from PIL import Image

    try:
        with Image.open(path) as image:
            yield image
    except (EngineError, MemoryError):
        raise
    except Exception as error:  # a damaged image may provoke anything, OSError without number too
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InvalidInput(f"{path}: can't be read as an image ({one_line(error)})") from error


def _kind(path: Path, image: "Image") -> ImageKind:
    mode = _READ_AS.get(image.mode, image.mode)
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a photo with its thumbnail
        raise InvalidInput(f"{path}: expected one image in the file, found {frames} frames")
    if mode not in _DTYPES or _loses_bits(mode, image):
        raise InvalidInput(
            f"{path}: expected gray, or RGB or RGBA of 8 bits, found Pillow mode {image.mode} "
            f"stored as {_stored_as(image)[0]}; convert it, or put the pixels into a .npy file"
        )
    # Pillow holds 16-bit gray as 32-bit integers when it comes from these formats.
    is_16_bit = mode == "I" and image.format in ("PNG", "PPM")
    dtype = np.dtype(np.uint16) if is_16_bit else _DTYPES[mode]
    return ImageKind((image.height, image.width, *_CHANNELS.get(mode, ())), dtype)


def _loses_bits(mode: str, image: "Image") -> bool:
    """Tell whether Pillow would cut 16-bit channels down to 8 without a word."""
    if _DTYPES[mode] != np.uint8:
        return False
    raw_mode, largest = _stored_as(image)
    return raw_mode.endswith((";16B", ";16L", ";16N")) or largest > 255


def _stored_as(image: "Image") -> tuple[str, int]:
    """Return the mode of the pixels in the file, and their largest value where that is stated."""
    tiles = getattr(image, "tile", [])
    arguments = tiles[0][3] if tiles else image.mode
    if not isinstance(arguments, tuple):
        return str(arguments), 0
    return str(arguments[0]), arguments[1] if image.format == "PPM" else 0
