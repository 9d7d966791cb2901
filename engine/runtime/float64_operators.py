"""Operators in float64 that onnx's own evaluator lacks: it has them slow, wrong or in float32.

Inside the convolutions channels come first: one large product of matrices for each tap takes all
samples, where many small ones would spend their time waiting for the threads of BLAS.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[np.float64]
_erf = np.vectorize(math.erf, otypes=[np.float64])


class Conv(OpRun):  # type: ignore[misc]
    """A convolution over any number of axes, one product of matrices for each tap."""

    def _run(
        self, x: Array, w: Array, b: Array | None = None, group: int = 1, **options: Any
    ) -> tuple[Array]:
        spatial, (strides, dilations) = x.shape[2:], _steps(w, options)
        reach = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[2:], strict=True)]
        needed = [
            max((-(-size // s) - 1) * s + r - size, 0)
            for size, s, r in zip(spatial, strides, reach, strict=True)
        ]
        pads = _pads(options, needed)
        padded = np.pad(np.swapaxes(x, 0, 1), [(0, 0), (0, 0), *pads])
        sizes = [
            (size - r) // s + 1 for size, r, s in zip(padded.shape[2:], reach, strides, strict=True)
        ]
        weights = w.reshape(group, -1, *w.shape[1:])
        y: Array = np.zeros((group, weights.shape[1], len(x) * math.prod(sizes)))
        for tap, region in _taps(w.shape[2:], sizes, strides, dilations):
            y += _matrices(weights, tap) @ padded[region].reshape(group, w.shape[1], -1)
        return (_finished(y.reshape(-1, len(x), *sizes), b),)


class ConvTranspose(OpRun):  # type: ignore[misc]
    """The transpose of a convolution, one product of matrices for each tap."""

    def _run(
        self, x: Array, w: Array, b: Array | None = None, group: int = 1, **options: Any
    ) -> tuple[Array]:
        if options.get("output_shape"):
            raise NotImplementedError("ConvTranspose with output_shape")
        spatial, (strides, dilations) = x.shape[2:], _steps(w, options)
        extra = options.get("output_padding") or [0] * len(spatial)
        reach = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[2:], strict=True)]
        whole = [
            s * (size - 1) + r + e
            for s, size, r, e in zip(strides, spatial, reach, extra, strict=True)
        ]
        pads = _pads(options, [w - s * n for w, s, n in zip(whole, strides, spatial, strict=True)])
        weights = np.swapaxes(w.reshape(group, -1, *w.shape[1:]), 1, 2)
        values = np.swapaxes(x, 0, 1).reshape(group, len(w) // group, -1)
        y: Array = np.zeros((group * w.shape[1], len(x), *whole))
        for tap, region in _taps(w.shape[2:], spatial, strides, dilations):
            y[region] += (_matrices(weights, tap) @ values).reshape(-1, len(x), *spatial)
        kept: tuple[Any, ...] = (
            ...,
            *[slice(low, size - high) for (low, high), size in zip(pads, whole, strict=True)],
        )
        return (_finished(y[kept], b),)


class Erf(OpRun):  # type: ignore[misc]
    """The error function."""

    def _run(self, x: Array) -> tuple[Array]:
        return (_erf(x),)


class Gelu(OpRun):  # type: ignore[misc]
    """`x` times the normal distribution at `x`, or that with tanh; onnx's rounds to float32."""

    def _run(self, x: Array, approximate: str = "none") -> tuple[Array]:
        if approximate == "tanh":
            return (x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),)
        return (x / 2 * (1 + _erf(x / math.sqrt(2))),)


class Sigmoid(OpRun):  # type: ignore[misc]
    """`1 / (1 + exp(-x))`, without overflow."""

    def _run(self, x: Array) -> tuple[Array]:
        return (np.exp(-np.logaddexp(0, -x)),)


OPERATORS = [Conv, ConvTranspose, Erf, Gelu, Sigmoid]


def _taps(
    kernel: Sequence[int], sizes: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
    """Each tap of a kernel, and the region of the larger array that it sees."""
    for tap in np.ndindex(*kernel):
        starts = [t * d for t, d in zip(tap, dilations, strict=True)]
        region = [
            slice(start, start + s * (size - 1) + 1, s)
            for start, size, s in zip(starts, sizes, strides, strict=True)
        ]
        yield tap, (..., *region)


def _matrices(weights: Array, tap: tuple[int, ...]) -> Array:
    """What a tap multiplies with; contiguous, as NumPy uses BLAS for nothing else."""
    return np.ascontiguousarray(np.moveaxis(weights, (0, 1, 2), (-3, -2, -1))[tap])


def _steps(w: Array, options: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Strides and dilations, one a spatial axis."""
    ones = [1] * (w.ndim - 2)
    return options.get("strides") or ones, options.get("dilations") or ones


def _pads(options: dict[str, Any], needed: Sequence[int]) -> list[tuple[int, int]]:
    """Padding before and after each spatial axis; `needed` in all, where it isn't given."""
    mode = options.get("auto_pad") or "NOTSET"
    if mode.startswith("SAME"):
        low = [(total + (mode == "SAME_LOWER")) // 2 for total in needed]
        return [(first, total - first) for first, total in zip(low, needed, strict=True)]
    pads = options.get("pads") or [0] * 2 * len(needed)
    return list(zip(pads[: len(needed)], pads[len(needed) :], strict=True))


def _finished(y: Array, b: Array | None) -> Array:
    """Samples first again, and the bias added to `y` `(channels, n, *spatial)`."""
    y = np.swapaxes(y, 0, 1)
    return y if b is None else y + b.reshape(-1, *[1] * (y.ndim - 2))
