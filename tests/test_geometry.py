import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import InvalidInput
from engine.geometry import (
    MAX_CHUNK_SAMPLES,
    MAX_SHARD_SAMPLES,
    TARGET_CHUNK_BYTES,
    TARGET_SHARD_RAW_BYTES,
    RowGrid,
    plan_grid,
)


@st.composite
def grids(draw):
    chunk_samples = draw(st.integers(1, 20))
    shard_samples = chunk_samples * draw(st.integers(1, 10))
    return RowGrid(draw(st.integers(1, 1000)), chunk_samples, shard_samples)


@given(grids())
def test_shards_hold_every_row_once_and_in_order(grid):
    runs = [range(*grid.shard_rows(shard)) for shard in range(grid.shard_count)]
    assert [row for run in runs for row in run] == list(range(grid.samples))
    assert [grid.shard_size(shard) for shard in range(grid.shard_count)] == list(map(len, runs))
    assert all(len(run) == grid.shard_samples for run in runs[:-1])
    assert 1 <= len(runs[-1]) <= grid.shard_samples


@given(grids(), st.data())
def test_locate_is_the_inverse_of_counting_up(grid, data):
    row = data.draw(st.integers(0, grid.samples - 1))
    shard, chunk, offset = grid.locate(row)
    assert row == shard * grid.shard_samples + chunk * grid.chunk_samples + offset
    assert chunk < grid.chunks_per_shard
    assert offset < grid.chunk_samples


@pytest.mark.parametrize("sizes", [(0, 1, 1), (5, 0, 4), (5, 2, 0), (5, 2, -2), (5, 4, 6)])
def test_sizes_that_make_no_grid_are_refused(sizes):
    with pytest.raises(InvalidInput, match="must be"):
        RowGrid(*sizes)


@given(
    samples=st.sampled_from([1, 2, 255, 10**4, 10**9]),
    sample_bytes=st.sampled_from([1, 784, 10**6, 10**9]),
    latent_bytes=st.sampled_from([1, 32, 32 * 1024, 10**8]),
    shard_samples=st.none() | st.integers(1, 3000),
)
def test_a_plan_is_valid_at_any_size(samples, sample_bytes, latent_bytes, shard_samples):
    grid = plan_grid(samples, sample_bytes, latent_bytes, shard_samples=shard_samples)
    assert grid.samples == samples
    assert grid.chunk_samples <= MAX_CHUNK_SAMPLES
    assert grid.chunk_samples == 1 or grid.chunk_samples * latent_bytes <= TARGET_CHUNK_BYTES
    if shard_samples is not None:
        assert grid.shard_samples == shard_samples
        return
    assert grid.shard_samples <= MAX_SHARD_SAMPLES
    spare = grid.chunk_samples * sample_bytes  # a shard is made of whole chunks
    assert grid.shard_samples == 1 or (
        grid.shard_samples * sample_bytes < TARGET_SHARD_RAW_BYTES + spare <= 2**27
    )


def test_a_given_shard_is_cut_into_the_largest_chunks_that_fit():
    assert plan_grid(5000, 784, 32, shard_samples=1000).chunk_samples == 250
    assert plan_grid(5000, 784, 32, shard_samples=100).chunk_samples == 100
    assert plan_grid(5000, 784, 32, shard_samples=1024).chunk_samples == 256


def test_a_given_chunk_is_kept():
    grid = plan_grid(5000, 784, 32, chunk_samples=17)
    assert grid.chunk_samples == 17
    assert grid.shard_samples == 37 * 17


@pytest.mark.parametrize(
    "sizes", [{"chunk_samples": 0}, {"shard_samples": 0}, {"chunk_samples": -1}]
)
def test_a_plan_of_nothing_is_refused(sizes):
    with pytest.raises(InvalidInput, match="at least 1"):
        plan_grid(100, 10, 10, **sizes)
