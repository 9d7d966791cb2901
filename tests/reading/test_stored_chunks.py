"""What a store reads and decodes, counted: nothing that isn't needed, and no read twice."""

import collections
import os

import numpy as np
import pytest

import engine

from ..laws import same_values
from .conftest import CHUNK_SAMPLES, SHARD_SAMPLES

LENGTH = 200
CHUNKS_PER_SHARD = SHARD_SAMPLES // CHUNK_SAMPLES


@pytest.fixture(scope="module")
def decoded(few, few_codec):
    """The samples as the codec alone makes them."""
    return few_codec.decode(few_codec.encode(few))


@pytest.fixture
def counts(store, network_runs, monkeypatch):
    """What the store reads and decodes; the real thing still does it."""
    return Counts(store, network_runs, monkeypatch)


class Counts:
    def __init__(self, store, network_runs, monkeypatch):
        self.ranges, self.runs = collections.Counter(), network_runs
        self.bytes, self.index_bytes = 0, 0
        self._read = store.contents.objects.get_range
        monkeypatch.setattr(store.contents.objects, "get_range", self.get_range)

    def get_range(self, key, start, length):
        self.ranges[key, "index" if start < 0 else start] += 1
        self.bytes += length
        self.index_bytes += length * (start < 0)
        return self._read(key, start, length)

    @property
    def chunks(self):
        return [read for read in self.ranges.elements() if read[1] != "index"]

    @property
    def chunk_bytes(self):
        return self.bytes - self.index_bytes


def chunk_bytes(store, chunks):
    """What these chunks of latents take, counted over all shards."""
    places = [divmod(int(chunk), CHUNKS_PER_SHARD) for chunk in chunks]
    return sum(int(store.contents.index("latents", shard)[chunk, 1]) for shard, chunk in places)


def test_one_sample_takes_one_index_and_one_chunk_of_one_shard(store, counts):
    store[70]
    shard = "data/part-0/latents/c/2/0"
    assert [key for key, _ in counts.ranges] == [shard, shard]
    assert counts.runs == [1]


def test_a_further_sample_takes_one_read_and_one_run(store, counts, monkeypatch):
    store[70]
    before, reads, pread = counts.bytes, [], os.pread
    monkeypatch.setattr(os, "pread", lambda *where: (reads.append(where), pread(*where))[1])
    store[80]
    (length,) = (length for _, length, _ in reads)
    assert length == counts.bytes - before == store.contents.index("latents", 2)[2, 1]
    assert counts.runs == [1, 1]


def test_a_sample_of_a_chunk_that_is_kept_takes_no_read(store, counts):
    first, again = store[70], store[71]
    assert len(counts.chunks) == 1
    assert counts.runs == [1, 1]
    assert not same_values(first, again)


def test_chunks_that_took_one_read_are_kept_one_by_one(store, counts, decoded):
    rows = np.arange(2 * CHUNK_SAMPLES, 5 * CHUNK_SAMPLES)  # of two shards
    assert same_values(store[rows], decoded[rows])
    assert len(counts.chunks) == 2
    for some in (rows, rows[: CHUNK_SAMPLES + 1], rows[-1:]):
        assert same_values(store[some], decoded[some])
    assert len(counts.chunks) == 2
    assert same_values(store[: 5 * CHUNK_SAMPLES], decoded[: 5 * CHUNK_SAMPLES])
    assert counts.chunk_bytes == chunk_bytes(store, range(5))


def test_nothing_is_kept_without_a_cache(store_path, monkeypatch, network_runs):
    with engine.open(store_path, device="cpu", cache_bytes=0) as store:
        counts = Counts(store, network_runs, monkeypatch)
        assert same_values(store[70], store[70])
        assert len(counts.chunks) == 2


def test_sixty_four_samples_take_one_run(store, counts, decoded):
    rows = np.random.default_rng(1).permutation(LENGTH)[:64]
    assert same_values(store[rows], decoded[rows])
    assert counts.runs == [64]


def test_scattered_samples_are_decoded_once_and_chunks_read_once(store, counts, decoded):
    rows = np.random.default_rng(0).permutation(LENGTH)[:64]
    asked = np.concatenate([rows, rows[::-1], rows[:5]])
    assert same_values(store[asked], decoded[asked])
    assert sum(counts.runs) == 64
    chunks = np.unique(rows // CHUNK_SAMPLES)
    assert counts.chunk_bytes == chunk_bytes(store, chunks)
    jumps = (np.diff(chunks) > 1) | (np.diff(chunks // CHUNKS_PER_SHARD) > 0)
    assert len(counts.chunks) == 1 + np.count_nonzero(jumps)


@pytest.mark.parametrize(
    ("key", "rows"), [([], 0), (slice(5, 5), 0), ([9] * 50, 1), (slice(None, None, -1), LENGTH)]
)
def test_only_what_is_asked_for_is_decoded(key, rows, store, counts):
    store[key]
    assert sum(counts.runs) == rows


@pytest.mark.parametrize("block_samples", [1, 7, 16, 64])
def test_a_large_request_is_decoded_in_blocks(block_samples, store, counts, decoded):
    store.reader.block_samples = block_samples
    rows = np.random.default_rng(0).integers(0, LENGTH, 500)
    assert same_values(store[rows], decoded[rows])
    assert sum(counts.runs) == len(np.unique(rows))
    assert max(counts.runs) <= block_samples
    assert same_values(np.stack(list(store)), decoded)
    for key in (slice(3, 190), slice(None, None, -1), slice(2, None, 3)):
        assert same_values(store[key], decoded[key])


@pytest.mark.parametrize(("block_chunks", "reads"), [(1, 25), (2, 13), (4, 7), (3, 13)])
def test_bulk_decoding_reads_each_block_of_a_shard_at_once(
    block_chunks, reads, store, counts, decoded
):
    """25 chunks in seven shards of four: what a block holds of a shard takes one read."""
    store.reader.block_samples = block_chunks * CHUNK_SAMPLES
    assert same_values(store[:], decoded)
    assert len(counts.chunks) == len(set(counts.chunks)) == reads
    assert counts.chunk_bytes == chunk_bytes(store, range(25))
