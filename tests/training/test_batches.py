import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sources import Source, open_source
from engine.training import batches as module
from engine.training.batches import (
    TrainingBatches,
    count_rows,
    read_rows,
    split_rows,
    spread_over,
    thinned,
)


class Recorder(Source):
    """Row i is filled with i; remembers every range that was read."""

    def __init__(self, rows, sample_shape=(4,), dtype=np.int32):
        super().__init__("recorder", (rows, *sample_shape), np.dtype(dtype))
        self.reads = []

    def _rows(self, start, stop):
        self.reads.append((start, stop))
        rows = np.arange(start, stop, dtype=self.dtype)
        shape = (stop - start, *self.sample_shape)
        return np.broadcast_to(rows.reshape(-1, *[1] * len(self.sample_shape)), shape)


def rows_of(ranges):
    return [row for start, stop in ranges for row in range(start, stop)]


def seen(batches, epoch, first_step=0):
    return [batch[:, 0].tolist() for batch in batches.epoch(epoch, first_step)]


@settings(deadline=None)
@given(rows=st.integers(1, 5000), fraction=st.floats(0.001, 0.999), seed=st.integers(0, 9))
def test_a_split_covers_every_row_once(rows, fraction, seed):
    split = split_rows(Recorder(rows), fraction, seed)
    training, validation = rows_of(split.training), rows_of(split.validation)
    assert training and validation
    if rows > 1:
        assert sorted(training + validation) == list(range(rows))


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=60), rows=st.integers(1, 1000))
def test_thinned_ranges_hold_about_so_many_of_the_rows(lengths, rows):
    stops = np.cumsum(lengths) + np.arange(len(lengths))
    ranges = np.stack([stops - lengths, stops], axis=1)
    few = rows_of(thinned(ranges, rows))
    assert 1 <= len(few) <= rows + len(lengths)
    assert set(few) <= set(rows_of(ranges))
    if rows >= sum(lengths):
        assert few == rows_of(ranges)


def test_a_tenth_is_held_out_by_seed():
    source = Recorder(5000)
    first, again, other = (split_rows(source, 0.1, seed) for seed in (0, 0, 1))
    assert count_rows(first.validation) == 500
    np.testing.assert_array_equal(first.validation, again.validation)
    assert not np.array_equal(first.validation, other.validation)


def test_a_single_sample_trains_and_validates():
    split = split_rows(Recorder(1), 0.1, 0)
    assert rows_of(split.training) == rows_of(split.validation) == [0]


@pytest.mark.parametrize("sample_shape", [(1,), (1000, 1000), (4000, 4000)])
def test_blocks_and_held_out_rows_are_bounded(sample_shape):
    source = Recorder(1_000_000, sample_shape)
    row_bytes = 4 * int(np.prod(sample_shape))
    split = split_rows(source, 0.5, 0)
    longest = int((split.training[:, 1] - split.training[:, 0]).max())
    held_out = count_rows(split.validation)
    assert longest == 1 or longest * row_bytes <= module.READ_BYTES
    assert held_out <= module.VALIDATION_ROWS
    assert held_out * row_bytes <= module.WINDOW_BYTES


def test_rows_are_spread_over_ranges():
    ranges = np.array([[10, 20], [50, 55], [70, 71]])
    np.testing.assert_array_equal(spread_over(ranges, 100), rows_of(ranges))
    chosen = spread_over(ranges, 4)
    assert chosen[0] == 10 and chosen[-1] == 70 and len(chosen) == 4
    assert set(chosen.tolist()) <= set(rows_of(ranges))


def test_neighbouring_ranges_are_read_at_once_within_bounds(monkeypatch):
    source = Recorder(100)
    ranges = np.array([[40, 50], [0, 10], [10, 20], [20, 22]])
    rows = read_rows(source, ranges)
    assert source.reads == [(0, 22), (40, 50)]
    assert rows[:, 0].tolist() == [*range(22), *range(40, 50)]
    monkeypatch.setattr(module, "READ_BYTES", 16 * 8)
    source.reads.clear()
    read_rows(source, ranges)
    assert source.reads == [(0, 8), (8, 16), (16, 22), (40, 48), (48, 50)]


@settings(deadline=None)
@given(
    rows=st.integers(2, 200),
    batch_size=st.integers(1, 50),
    window_rows=st.integers(1, 250),
    data=st.data(),
)
def test_an_epoch_yields_every_training_row_once(rows, batch_size, window_rows, data):
    source = Recorder(rows)
    ranges = split_rows(source, 0.2, 0).training
    batches = TrainingBatches(source, ranges, batch_size, 0, window_bytes=16 * window_rows)
    found = seen(batches, 1)
    assert sorted(itertools.chain(*found)) == rows_of(ranges)
    assert len(found) == batches.steps == -(-count_rows(ranges) // batch_size)
    sizes = {len(batch) for batch in found}
    assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1
    first_step = data.draw(st.integers(0, batches.steps))
    assert seen(batches, 1, first_step) == found[first_step:]


@pytest.mark.parametrize("window_bytes", [16 * 50, 1 << 20])
def test_order_is_of_seed_and_epoch(window_bytes):
    def order(seed, epoch):
        source = Recorder(300)
        ranges = split_rows(source, 0.1, 0).training
        return seen(TrainingBatches(source, ranges, 10, seed, window_bytes), epoch)

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_large_data_are_streamed_through_one_window(monkeypatch):
    monkeypatch.setattr(module, "READ_BYTES", 1 << 14)
    source = Recorder(20_000, (256,))
    ranges = split_rows(source, 0.1, 0).training
    source.reads.clear()
    tracemalloc.start()
    batches = TrainingBatches(source, ranges, 32, 0, window_bytes=1 << 20)
    for _ in batches.epoch(1):
        pass
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(stop - start for start, stop in source.reads) <= 16
    assert sum(stop - start for start, stop in source.reads) == count_rows(ranges)
    assert peak_bytes < 1.5 * (1 << 20)


def test_a_resumed_epoch_skips_the_windows_it_is_done_with():
    source = Recorder(2000)
    ranges = split_rows(source, 0.1, 0).training
    batches = TrainingBatches(source, ranges, 20, 0, window_bytes=16 * 200)
    source.reads.clear()
    seen(batches, 3, batches.steps - 1)
    assert sum(stop - start for start, stop in source.reads) <= 200


def test_small_data_are_read_once():
    source = Recorder(500)
    ranges = split_rows(source, 0.1, 0).training
    batches = TrainingBatches(source, ranges, 16, 0)
    source.reads.clear()
    for epoch in (1, 2, 3):
        seen(batches, epoch)
    assert sum(stop - start for start, stop in source.reads) == count_rows(ranges)


def test_memory_mapped_files_are_read_by_ranges(tmp_path):
    np.save(tmp_path / "data.npy", np.arange(400).reshape(100, 4))
    with open_source(tmp_path / "data.npy") as source:
        ranges = split_rows(source, 0.1, 0).training
        batches = TrainingBatches(source, ranges, 16, 0)
        found = np.concatenate(list(batches.epoch(1)))
    assert sorted(found[:, 0] // 4) == rows_of(ranges)
