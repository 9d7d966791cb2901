"""Residuals of a shard's samples, at one step after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.runtime.residuals import quantise


@dataclass(frozen=True)
class Bounds:
    """What residuals are chosen for; all in physical units.

    `step` is that of the residuals, 0 for none; `tolerance` how far a reader's reconstruction may
    lie from this one; `max_error` the bound of an element. See `cuda_kernels.residuals`.
    """

    step: float
    tolerance: float
    max_error: float


@dataclass(frozen=True)
class Quantised:
    """Residuals `(n, elements)`, what they leave to patch, and the errors `(n,)` that remain.

    As `cuda_kernels.residuals.reference.quantise` writes them.
    """

    residuals: NDArray[Any]
    patched: NDArray[np.uint8]
    max_abs_error: NDArray[np.float64]
    sum_squared_error: NDArray[np.float64]
    worst_sum_squared_error: NDArray[np.float64]

    @classmethod
    def empty(cls, shape: tuple[int, int], dtype: np.dtype[Any]) -> Quantised:
        """Room for residuals of `dtype`."""
        errors = [np.empty(shape[0]) for _ in range(3)]
        return cls(np.empty(shape, dtype), np.empty(shape, np.uint8), *errors)


class Quantiser(Protocol):
    """Holds the samples of a shard, and what its networks made of them."""

    def __call__(
        self,
        base: float | None,
        bounds: Bounds,
        dtype: np.dtype[Any],
        rows: NDArray[np.bool_] | None = None,
    ) -> Quantised:
        """Residuals of the samples, or of those that the mask `rows` `(n,)` chooses.

        `base` is the constant that they are residuals of; None stands for the reconstruction.
        `dtype` is that of the residuals: int8, int16 or int32.

        Raises:
            DeviceUnavailable: the device failed.
        """


class HostQuantiser:
    """Works on arrays of the host, on the calling thread."""

    def __init__(
        self,
        samples: NDArray[Any],
        verbatim: NDArray[np.bool_] | None,
        reconstruction: NDArray[Any] | None,
    ) -> None:
        """Hold samples and their reconstruction `(n, *sample_shape)`; `verbatim` marks patches."""
        flat = (len(samples), -1)
        self._samples = samples.reshape(flat)
        self._verbatim = None if verbatim is None else verbatim.reshape(flat).view(np.uint8)
        self._reconstruction = None if reconstruction is None else reconstruction.reshape(flat)

    def __call__(
        self,
        base: float | None,
        bounds: Bounds,
        dtype: np.dtype[Any],
        rows: NDArray[np.bool_] | None = None,
    ) -> Quantised:
        """See `Quantiser`."""
        chosen: Any = slice(None) if rows is None else rows
        samples = self._samples[chosen]
        decoded = np.full((1, 1), base) if base is not None else self._decoded()[chosen]
        verbatim = None if self._verbatim is None else self._verbatim[chosen]
        found = Quantised.empty(samples.shape, dtype)
        quantise(
            decoded,
            samples,
            verbatim,
            bounds.step,
            bounds.tolerance,
            bounds.max_error,
            found.residuals,
            found.patched,
            found.max_abs_error,
            found.sum_squared_error,
            found.worst_sum_squared_error,
        )
        return found

    def _decoded(self) -> NDArray[Any]:
        if self._reconstruction is None:
            raise ValueError("there is no reconstruction to take residuals of")
        return self._reconstruction
