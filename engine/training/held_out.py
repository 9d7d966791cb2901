"""Held-out samples, and what a codec makes of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_kernels.error_statistics.reference import finish
from engine.codec.sample_format import SampleFormat
from engine.entropy import entropy_bits
from engine.quality import peak_value, psnr_db
from engine.sources import Source
from engine.training.batches import Ranges, read_rows, thinned
from engine.training.rate import RatePoint

_SAMPLES, _ELEMENTS = 2048, 1 << 24
_LARGEST = (1 << 15) - 1  # residual
# Elements that lie at an end of the data's range, where that is an end of what they can be.
_END_SHARE, _END_ELEMENTS, _END_WIDTH = 0.01, 16, 1e-6


class HeldOut:
    """At most 2048 of the rows that are held out, or 16 million elements.

    `samples` `(n, *network_shape)` is what the network sees of them, float32; `residual_step` is
    that of residuals in its unit, None where there are none.
    """

    def __init__(
        self,
        source: Source,
        ranges: Ranges,
        sample: SampleFormat,
        residual_step: float | None = None,
    ) -> None:
        """Read the rows, spread over `ranges`; `residual_step`, physical, is that of residuals."""
        elements = math.prod(sample.shape)
        rows = thinned(ranges, max(1, min(_SAMPLES, _ELEMENTS // elements)))
        self.samples = sample.to_network(read_rows(source, rows))
        self._sample = sample
        self._finished = self._finish(self.samples)
        self.residual_step = None if residual_step is None else residual_step / sample.scale
        self._peak = peak_value(sample.dtype, *sample.data_range)

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The ends of the network's range that many of the elements lie at, as black does."""
        enough = max(_END_ELEMENTS, _END_SHARE * self.samples.size)
        low, high = self._sample.network_range
        return (
            low if np.count_nonzero(self.samples <= low + _END_WIDTH) >= enough else None,
            high if np.count_nonzero(self.samples >= high - _END_WIDTH) >= enough else None,
        )

    def measure(
        self, step: float, bits: NDArray[np.float64], reconstruction: NDArray[np.floating[Any]]
    ) -> RatePoint:
        """Return what a codec of this step makes of all of them.

        `bits` `(channels,)` are those of a sample's latents; `reconstruction`, in any shape, is
        what the decoder returns.
        """
        finished = self._finish(reconstruction).reshape(self._finished.shape)
        error = np.subtract(finished, self._finished, dtype=np.float64)
        mean = float(np.mean(np.square(error)))
        total = mean * self.samples[0].size / self._sample.scale**2
        residual = self._residual_bits(reconstruction)
        psnr = psnr_db(mean, self._peak)
        return RatePoint(step, len(bits), float(bits.sum()), psnr, total, residual)

    def _residual_bits(self, reconstruction: NDArray[np.floating[Any]]) -> float:
        if self.residual_step is None:
            return 0.0
        off = self._finished - self._physical(reconstruction).reshape(self._finished.shape)
        step = self.residual_step * self._sample.scale
        (bits,) = entropy_bits(np.rint(off / step).clip(-_LARGEST, _LARGEST).reshape(-1, 1))
        total: float = bits * self.samples[0].size
        return total

    def _finish(self, values: NDArray[np.floating[Any]]) -> NDArray[Any]:
        return finish(self._physical(values), self._sample.dtype)

    def _physical(self, values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        # In the network's order of axes, which the error doesn't depend on.
        physical = values.astype(self._sample.working_dtype)
        return physical * self._sample.scale + self._sample.offset
