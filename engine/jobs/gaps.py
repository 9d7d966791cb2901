"""Missing elements, which no network understands: NaN, infinity and fill values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jobs.promise import FillValue, parse_fill_value
from engine.jobs.survey import Survey, survey
from engine.sources import Source


def fill_gaps(samples: NDArray[Any], mask: NDArray[np.bool_] | None, found: Survey) -> NDArray[Any]:
    """The samples `(n, *shape)` with the mean of each sample in place of what it lacks.

    `mask` marks what is lacking, as `found.verbatim` has it.
    """
    if mask is None or not mask.any():
        return samples
    axes = tuple(range(1, samples.ndim))
    with np.errstate(over="ignore", invalid="ignore"):  # sums of huge values
        means = np.where(mask, 0, samples).mean(axis=axes, keepdims=True, dtype=np.float64)
        means *= mask[0].size / np.maximum(1, (~mask).sum(axis=axes, keepdims=True))
    means = np.clip(np.nan_to_num(means), found.low, found.high)
    return np.where(mask, means.astype(samples.dtype), samples)


def without_gaps(source: Source, fill_value: FillValue) -> Source:
    """The same source with its gaps filled, to train and calibrate on; reads all of it once.

    `fill_value` as in `engine.compress`.
    """
    return _GapFree(source, survey(source, parse_fill_value(fill_value, source.dtype)))


class _GapFree(Source):
    """A source whose gaps are filled; closing it stays with its owner."""

    def __init__(self, source: Source, found: Survey) -> None:
        super().__init__(source.name, source.shape, source.dtype)
        self._source, self._survey = source, found

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        samples = self._source.read(start, stop)
        return fill_gaps(samples, self._survey.verbatim(samples), self._survey)
