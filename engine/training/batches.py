"""Which rows train and which are held out, and how they reach the network in bounded memory.

Rows are read in blocks of neighbours only, since single rows are slow to read from most files.
An epoch takes the training blocks in an order of its own, window by window, and draws its batches
from the shuffled rows of one window at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidInput
from engine.sources import Source, spread_rows

Ranges = NDArray[np.int64]
"""Row ranges, shape (ranges, 2): the start and the stop of each."""

ToNetwork = Callable[[NDArray[Any]], NDArray[np.float32]]
"""Maps a raw batch `(batch, *sample_shape)` to float32 `(batch, *network_shape)`."""

WINDOW_BYTES = 256 << 20
READ_BYTES = 16 << 20
BLOCKS = 1000
VALIDATION_ROWS = 10_000


@dataclass(frozen=True)
class RowSplit:
    """The rows that train and those held out, as ascending ranges of at most 16 MiB."""

    training: Ranges
    validation: Ranges


def split_rows(source: Source, fraction: float, seed: int) -> RowSplit:
    """Hold out about `fraction` of the rows, in blocks drawn by `seed`.

    At most 10,000 rows or 256 MiB are held out, and at least one row. A single sample both trains
    and validates.

    Raises:
        InvalidInput: `seed` is negative.
    """
    if seed < 0:
        raise InvalidInput(f"seed must be at least 0, got {seed}")
    rows, row_bytes = len(source), _row_bytes(source)
    block = max(1, min(rows // BLOCKS, READ_BYTES // row_bytes))
    starts = np.arange(0, rows, block)
    blocks = np.stack([starts, np.minimum(starts + block, rows)], axis=1)
    if len(blocks) == 1:
        return RowSplit(blocks, blocks)
    most = max(1, min(VALIDATION_ROWS, WINDOW_BYTES // row_bytes) // block)
    held_out = np.zeros(len(blocks), bool)
    count = min(max(1, round(fraction * len(blocks))), most, len(blocks) - 1)
    held_out[np.random.default_rng(seed).permutation(len(blocks))[:count]] = True
    return RowSplit(blocks[~held_out], blocks[held_out])


def count_rows(ranges: Ranges) -> int:
    """Return the number of rows in `ranges`."""
    return int((ranges[:, 1] - ranges[:, 0]).sum())


def spread_over(ranges: Ranges, count: int) -> NDArray[np.int64]:
    """Return the indices of `count` of the rows in `ranges` (or all, if fewer), spread."""
    before = np.cumsum(ranges[:, 1] - ranges[:, 0]) - (ranges[:, 1] - ranges[:, 0])
    positions = spread_rows(count_rows(ranges), count)
    found = np.searchsorted(before, positions, side="right") - 1
    rows: NDArray[np.int64] = ranges[found, 0] + positions - before[found]
    return rows


def thinned(ranges: Ranges, rows: int) -> Ranges:
    """Return about `rows` of the rows in `ranges` (or all, if fewer): the first of each range.

    Where there are more ranges than that, of some that are spread over them.
    """
    share = rows / max(rows, count_rows(ranges))
    few = ranges[spread_rows(len(ranges), rows)]
    lengths = np.maximum(1, np.floor(share * (few[:, 1] - few[:, 0]))).astype(np.int64)
    return np.stack([few[:, 0], few[:, 0] + lengths], axis=1)


def read_rows(source: Source, ranges: Ranges, into: NDArray[Any] | None = None) -> NDArray[Any]:
    """Read the rows of `ranges`, ascending, by reads of at most 16 MiB (or one row).

    They are written to the start of `into`, or to a new array.
    """
    count = count_rows(ranges)
    rows = np.empty((count, *source.sample_shape), source.dtype) if into is None else into[:count]
    longest = max(1, READ_BYTES // _row_bytes(source))
    filled = 0
    for first, last in _joined(ranges):
        for start in range(first, last, longest):
            stop = min(start + longest, last)
            rows[filled : filled + stop - start] = source.read(start, stop)
            filled += stop - start
    return rows


class TrainingBatches:
    """The batches of an epoch, the same for the same seed and epoch.

    All rows take part in every epoch, in batches of `batch_size` or up to one row fewer each.
    """

    def __init__(
        self,
        source: Source,
        ranges: Ranges,
        batch_size: int,
        seed: int,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self._source = source
        self._ranges = ranges
        self._seed = seed
        self._rows = count_rows(ranges)
        self.steps = -(-self._rows // batch_size)
        window_rows = window_bytes // _row_bytes(source)
        self._window_steps = min(self.steps, max(1, window_rows // batch_size))
        held = min(self._rows, self._window_steps * batch_size)
        self._window = np.empty((held, *source.sample_shape), source.dtype)
        self._complete = False

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[NDArray[Any]]:
        """Yield the raw batches of an epoch from `first_step` on, each `(rows, *sample_shape)`."""
        order = self._order(epoch)
        for first in range(0, self.steps, self._window_steps):
            last = min(first + self._window_steps, self.steps)
            if last <= first_step:
                continue
            rows = self._load(order, self._edge(first), self._edge(last))
            shuffled = np.random.default_rng((self._seed, epoch, first)).permutation(len(rows))
            for step in range(max(first, first_step), last):
                chosen = slice(*(self._edge(edge) - self._edge(first) for edge in (step, step + 1)))
                yield rows[shuffled[chosen]]

    def _edge(self, step: int) -> int:
        """Where the batch of a step starts among the rows of the epoch."""
        return step * self._rows // self.steps

    @property
    def _one_window(self) -> bool:
        return self._window_steps == self.steps

    def _order(self, epoch: int) -> Ranges:
        if self._one_window:
            return self._ranges
        return np.random.default_rng((self._seed, epoch)).permutation(self._ranges)

    def _load(self, order: Ranges, first: int, last: int) -> NDArray[Any]:
        """Rows [first, last) of the epoch; data that fits one window are read only once."""
        if self._complete:
            return self._window
        rows = read_rows(self._source, _cut(order, first, last), self._window)
        self._complete = self._one_window
        return rows


def _row_bytes(source: Source) -> int:
    return max(1, source.sample_bytes)


def _cut(ranges: Ranges, first: int, last: int) -> Ranges:
    """The part of `ranges` that holds rows [first, last) of them laid end to end."""
    lengths = ranges[:, 1] - ranges[:, 0]
    before = np.cumsum(lengths) - lengths
    parts = [ranges[:, 0] + np.clip(edge - before, 0, lengths) for edge in (first, last)]
    cut = np.stack(parts, axis=1)
    return cut[cut[:, 0] < cut[:, 1]]


def _joined(ranges: Ranges) -> Iterator[tuple[int, int]]:
    """The same rows in ascending order, with neighbouring ranges made one."""
    ordered = ranges[np.argsort(ranges[:, 0])]
    apart = ordered[1:, 0] != ordered[:-1, 1]
    starts = ordered[np.append(True, apart), 0]
    stops = ordered[np.append(apart, True), 1]
    yield from zip(starts.tolist(), stops.tolist(), strict=True)
