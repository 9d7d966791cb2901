"""Simulated two-dimensional fields: a turbulent spectrum, carried along and slowly renewed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIZE = 64
_WIND = (0.9, 0.4)  # cells a time step
_DECORRELATION_STEPS = 60.0  # of the largest eddy
_DISSIPATION = 20.0  # wave number at which viscosity ends the cascade


def turbulent_fields(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Consecutive states `(count, 64, 64)` of a periodic field with energy spectrum k^-5/3.

    Each Fourier mode is an Ornstein-Uhlenbeck process whose memory falls as k^-2/3, as that of an
    eddy of its size does (Kolmogorov 1941), in a uniform wind. Standard deviation 1, seeded.
    """
    rng = np.random.default_rng(seed)
    ky, kx = np.fft.fftfreq(SIZE, 1 / SIZE)[:, None], np.fft.rfftfreq(SIZE, 1 / SIZE)[None, :]
    k = np.maximum(np.hypot(ky, kx), 1)
    amplitude = k ** (-(5 / 3 + 1) / 2) * np.exp(-((k / _DISSIPATION) ** 2))
    amplitude[0, 0] = 0
    memory = np.exp(-(k ** (2 / 3)) / _DECORRELATION_STEPS)
    carried = memory * np.exp(-2j * np.pi * (kx * _WIND[0] + ky * _WIND[1]) / SIZE)
    renewal = amplitude * np.sqrt(1 - memory**2)
    modes = amplitude * _white_modes(rng)
    fields = np.empty((count, SIZE, SIZE), np.float32)
    for field in fields:
        field[:] = np.fft.irfft2(modes, s=(SIZE, SIZE))
        modes = carried * modes + renewal * _white_modes(rng)
    fields /= fields.std()
    return fields


def land_mask(seed: int = 0) -> NDArray[np.bool_]:
    """A coherent mask `(64, 64)` that covers 30 % of the cells, as land does on an ocean grid."""
    height = turbulent_fields(1, seed)[0]
    return np.asarray(height > np.quantile(height, 0.7))


def _white_modes(rng: np.random.Generator) -> NDArray[np.complex128]:
    """Fourier modes of white noise."""
    return np.fft.rfft2(rng.standard_normal((SIZE, SIZE)))
