"""Chunks of one shard, one by one or in runs: the same values, the same refusals."""

import google_crc32c
import numpy as np
import pytest

from engine.errors import CorruptStore
from engine.geometry import RowGrid
from engine.store import shard_reader
from engine.store.arrays import ShardedArray
from engine.store.objects import LocalObjects
from engine.store.shard_index import CRC_BYTES, ZARR_INDEX
from engine.store.shard_reader import ShardReader

from ..laws import flip_bit, same_values

KEY, CHUNKS, CHUNK_SAMPLES = "latents/c/0/0", 8, 4
ROWS = CHUNKS * CHUNK_SAMPLES
ARRAY = ShardedArray("latents", RowGrid(ROWS, CHUNK_SAMPLES, ROWS), (5,), np.dtype(np.int8), 0)
VALUES = np.random.default_rng(0).integers(-127, 128, (CHUNKS, CHUNK_SAMPLES, 5), np.int8)
MADE = ARRAY.encode_shard(VALUES.reshape(ROWS, 5))
IN_ORDER = list(range(CHUNKS))


class CountedObjects(LocalObjects):
    """Notes the ranges that are read, those of indexes excepted."""

    def __init__(self, folder):
        super().__init__(folder)
        self.ranges = []

    def get_range(self, key, start, length):
        if start >= 0:
            self.ranges.append((start, length))
        return super().get_range(key, start, length)


class SharedObjects(CountedObjects):
    """Another thread is always the first to forget a file that was replaced."""

    def forget(self, key):
        super().forget(key)
        super().forget(key)


def laid_out(order, gaps=()):
    """The same chunks in another order, with a byte that nobody owns before those in `gaps`."""
    index_bytes = ZARR_INDEX.size_bytes(CHUNKS)
    places = np.frombuffer(MADE.content[-index_bytes:-CRC_BYTES], "<u8").reshape(-1, 2)
    index, content = places.copy(), b""
    for chunk in order:
        offset, length = places[chunk].tolist()
        content += b"?" * (chunk in gaps)
        index[chunk, 0] = len(content)
        content += MADE.content[offset : offset + length]
    return content, index


def open_reader(objects, content, index):
    table = index.tobytes()
    closing = google_crc32c.value(table)
    objects.put(KEY, content + table + closing.to_bytes(CRC_BYTES, "little"))
    size_bytes = objects.size_of(KEY)
    return ShardReader(objects, KEY, ARRAY, size_bytes, closing, MADE.chunk_crc32c)


@pytest.mark.parametrize(
    ("order", "gaps", "reads"),
    [
        (IN_ORDER, (), 1),
        (IN_ORDER, (0,), 1),
        (IN_ORDER, (3, 6), 3),
        (IN_ORDER[::-1], (), 8),
        ([4, 5, 6, 7, 0, 1, 2, 3], (), 2),
        ([1, 2, 0, 3, 4, 5, 6, 7], (), 3),
    ],
    ids=["in order", "not at the start", "gaps", "backwards", "halves swapped", "one elsewhere"],
)
def test_chunks_that_lie_side_by_side_take_one_read(order, gaps, reads, tmp_path):
    objects = CountedObjects(tmp_path)
    reader = open_reader(objects, *laid_out(order, gaps))
    assert same_values(np.stack(list(reader.read_run(0, CHUNKS))), VALUES)
    assert len(objects.ranges) == reads
    assert sum(length for _, length in objects.ranges) == reader.index[:, 1].sum()
    assert same_values(np.stack(list(reader.read_run(2, 5))), VALUES[2:5])
    assert list(reader.read_run(3, 3)) == []
    assert all(same_values(reader.read(chunk), VALUES[chunk]) for chunk in range(CHUNKS))


@pytest.mark.parametrize(("limit_chunks", "reads"), [(0, 8), (3, 3), (8, 1)])
def test_no_read_of_several_chunks_is_long(limit_chunks, reads, tmp_path, monkeypatch):
    objects = CountedObjects(tmp_path)
    reader = open_reader(objects, *laid_out(IN_ORDER))
    assert len(set(reader.index[:, 1].tolist())) == 1
    limit_bytes = limit_chunks * reader.index.item(0, 1)
    monkeypatch.setattr(shard_reader, "_READ_BYTES", limit_bytes)
    assert same_values(np.stack(list(reader.read_run(0, CHUNKS))), VALUES)
    assert len(objects.ranges) == reads


@pytest.mark.parametrize("chunk", [0, 4, 7])
def test_what_is_damaged_amid_a_run_is_named(chunk, tmp_path):
    objects = LocalObjects(tmp_path)
    content, index = laid_out(IN_ORDER)
    reader = open_reader(objects, content, index)
    offset, length = index[chunk].tolist()
    for bit, problem in ((8 * offset + 40, "damaged"), (8 * (offset + length) - 1, "recorded")):
        flip_bit(tmp_path / KEY, bit)
        for read in (lambda: reader.read(chunk), lambda: list(reader.read_run(0, CHUNKS))):
            with pytest.raises(CorruptStore, match=f"chunk {chunk} of {KEY} is .*{problem}"):
                read()
        flip_bit(tmp_path / KEY, bit)
    assert same_values(np.stack(list(reader.read_run(0, CHUNKS))), VALUES)


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ([2**64 - 1, 2**64 - 1], f"chunk 4 of {KEY} is missing"),
        ([2**63, 28], f"{KEY} is truncated"),
        ([len(MADE.content), 28], f"chunk 4 of {KEY} is not the one that the ledger recorded"),
    ],
    ids=["missing", "outside", "elsewhere"],
)
def test_a_chunk_that_does_not_lie_where_it_should(place, problem, tmp_path):
    content, index = laid_out(IN_ORDER)
    index[4] = place
    reader = open_reader(LocalObjects(tmp_path), content + bytes(1000), index)
    for read in (lambda: reader.read(4), lambda: list(reader.read_run(2, CHUNKS))):
        with pytest.raises(CorruptStore, match=problem):
            read()


@pytest.mark.parametrize("kind", [CountedObjects, SharedObjects])
def test_what_was_put_right_is_read_whoever_closes_the_old_file(kind, tmp_path):
    objects = kind(tmp_path)
    reader = open_reader(objects, *laid_out(IN_ORDER))
    list(reader.read_run(0, CHUNKS))
    content = objects.get(KEY)
    flip_bit(tmp_path / KEY, 40)
    objects.put(KEY, content)  # the reader holds the damaged file still
    assert same_values(reader.read(0), VALUES[0])


@pytest.mark.parametrize("kind", [CountedObjects, SharedObjects])
def test_what_stays_damaged_is_read_twice(kind, tmp_path):
    objects = kind(tmp_path)
    reader = open_reader(objects, *laid_out(IN_ORDER))
    flip_bit(tmp_path / KEY, 40)
    with pytest.raises(CorruptStore, match="damaged"):
        reader.read(0)
    assert objects.ranges == [(0, reader.index.item(0, 1))] * 2
