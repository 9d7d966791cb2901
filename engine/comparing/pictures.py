"""Samples as pictures in a page: what is two-dimensional in them, as PNG in data URIs."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.comparing.layouts import is_image

_LARGEST = 256

Array = NDArray[Any]


def data_uri(png: bytes) -> str:
    """A PNG as text that a page can hold."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def can_show(sample_shape: tuple[int, ...]) -> bool:
    """Whether samples are small enough images."""
    return is_image(sample_shape) and max(sample_shape[:2]) <= _LARGEST


def strip_png(samples: Array, originals: Array) -> bytes:
    """Samples side by side; uint8 as they are, others between the extremes of the originals."""
    from PIL import Image

    pixels = samples if samples.dtype == np.uint8 else _scaled(samples, originals)
    row = np.concatenate(list(pixels), axis=1)
    image = Image.fromarray(row.squeeze())
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def _scaled(samples: Array, originals: Array) -> NDArray[np.uint8]:
    finite = originals[np.isfinite(originals)].astype(np.float64)
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    values = np.nan_to_num(samples.astype(np.float64), nan=low, posinf=high, neginf=low)
    scaled = (values - low) / ((high - low) or 1) * 255
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
