"""Samples as pictures in a page: images, colour maps and lines, as PNG in data URIs."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.comparing.layouts import is_image

_SMALLEST, _LARGEST = 64, 256  # pixels of a side on the page
_LINES, _LINE_ELEMENTS = 4, 192
_GAP = 2

Array = NDArray[Any]


def data_uri(png: bytes) -> str:
    """A PNG as text that a page can hold."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def picture_png(samples: Array, originals: Array) -> bytes:
    """Some samples as one picture.

    Images of uint8 as they are, side by side, others as colour maps between the extremes of the
    originals; of volumes the middle slice; of vectors and signals, lines on top of the originals.
    """
    if samples.ndim == 2:
        return _lines_png(samples, originals)
    planes, wanted = _planes(samples), _planes(originals)
    if samples.dtype == np.uint8:
        return _strip_png(planes)
    return _strip_png(_coloured(planes, wanted))


def error_png(samples: Array, originals: Array) -> bytes | None:
    """Where images differ from the originals, brighter for more; None of what are lines."""
    if samples.ndim == 2:
        return None
    planes, wanted = (_planes(values).astype(np.float64) for values in (samples, originals))
    with np.errstate(invalid="ignore"):
        difference = np.nan_to_num(np.abs(planes - wanted))
    if difference.ndim == 4:
        difference = difference.mean(axis=-1)
    return _strip_png(_mapped(difference / (_spread(wanted) / 4), "magma"))


def _planes(samples: Array) -> Array:
    """`(n, height, width)` or `(n, height, width, 3)`: of what has more axes the middle slices."""
    planes = samples
    if samples.shape[-1] == 1 and is_image(samples.shape[1:]):
        return samples[..., 0]
    while not is_image(planes.shape[1:]):
        planes = planes[:, planes.shape[1] // 2]
    cut: Array = planes[:, :_LARGEST, :_LARGEST]
    return cut


def _coloured(planes: Array, originals: Array) -> NDArray[np.uint8]:
    """Grey values by a colour map; RGB between the extremes."""
    low, _ = _extremes(originals)
    with np.errstate(invalid="ignore"):
        share = np.nan_to_num((planes.astype(np.float64) - low) / _spread(originals))
    if planes.ndim == 4:
        levels: NDArray[np.uint8] = np.rint(share.clip(0, 1) * 255).astype(np.uint8)
        return levels
    return _mapped(share, "viridis")


def _mapped(share: NDArray[np.float64], name: str) -> NDArray[np.uint8]:
    from matplotlib import colormaps

    colours = colormaps[name](share.clip(0, 1), bytes=True)
    return np.asarray(colours[..., :3], np.uint8)


def _strip_png(planes: Array) -> bytes:
    """Images side by side with a gap between them, small ones enlarged by whole factors."""
    from PIL import Image

    factor = max(1, _SMALLEST // max(planes.shape[1:3]))
    gap = [(0, 0), (0, 0), (0, _GAP)] + [(0, 0)] * (planes.ndim - 3)
    enlarged = planes.repeat(factor, axis=1).repeat(factor, axis=2)
    row = np.concatenate(list(np.pad(enlarged, gap, constant_values=255)), axis=1)
    file = io.BytesIO()
    Image.fromarray(row[:, :-_GAP]).save(file, "png")
    return file.getvalue()


def _lines_png(samples: Array, originals: Array) -> bytes:
    """The first elements of the first samples, over the originals in grey."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.1), dpi=100, layout="constrained", facecolor="white")
    for place, axes in enumerate(figure.subplots(1, _LINES, sharey=True)):
        axes.set_axis_off()
        if place < len(samples):
            axes.plot(originals[place, :_LINE_ELEMENTS], color="#999999", linewidth=1.6)
            axes.plot(samples[place, :_LINE_ELEMENTS], color="#c1121f", linewidth=0.9)
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})
    return file.getvalue()


def _extremes(originals: Array) -> tuple[float, float]:
    finite = originals[np.isfinite(originals)].astype(np.float64)
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _spread(originals: Array) -> float:
    low, high = _extremes(originals)
    return high - low or 1.0
