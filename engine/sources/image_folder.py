"""Folders of images: one image a sample, all of one size and kind."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import InvalidInput
from engine.sources.image_file import ImageKind, read_kind, read_pixels
from engine.sources.source import Source

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".pgm", ".ppm")


class ImageFolder(Source):
    """A source over the images of one folder, in natural order of their file names.

    Samples are (height, width) for gray images and (height, width, 3 or 4) for colour; uint8, or
    uint16 for 16-bit gray. Every header is read at once, so that a misfit is found at the start.

    Raises:
        InvalidInput: no images, or not all of one shape and dtype, or a damaged one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file_names = _image_names(folder)
        self._kind = _common_kind(folder, self._file_names)
        shape = (len(self._file_names), *self._kind.shape)
        super().__init__(folder.resolve().name, shape, self._kind.dtype)

    def _rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        rows = np.empty((stop - start, *self.sample_shape), self.dtype)
        for row, name in zip(rows, self._file_names[start:stop], strict=True):
            row[...] = read_pixels(self._folder / name, self._kind)
        return rows


def _image_names(folder: Path) -> list[str]:
    entries = (entry for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES)
    names = sorted((e.name for e in entries if not e.name.startswith(".")), key=_natural)
    if not names:
        raise InvalidInput(
            f"{folder}: expected a Zarr array or images ({', '.join(SUFFIXES)}) in this folder, "
            "found none; sub-folders are not searched"
        )
    return names


def _natural(name: str) -> tuple[list[str | int], str]:
    """Return a sorting key that puts "image9" before "image10"."""
    parts = re.split("([0-9]+)", name.lower())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _common_kind(folder: Path, file_names: list[str]) -> ImageKind:
    from PIL.Image import DecompressionBombWarning

    with warnings.catch_warnings(action="ignore"):
        warnings.simplefilter("error", DecompressionBombWarning)
        first = read_kind(folder / file_names[0])
        for name in file_names[1:]:
            kind = read_kind(folder / name)
            if kind != first:
                raise InvalidInput(
                    f"{folder / name}: expected {first} like {file_names[0]}, found {kind}; "
                    "all images of a folder must be alike"
                )
    return first
