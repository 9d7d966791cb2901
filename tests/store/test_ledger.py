"""Ledger records: what they say survives, and a wrong one never counts."""

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CorruptStore
from engine.geometry import RowGrid
from engine.guarantee import NO_GUARANTEE
from engine.store.arrays import ShardedArray
from engine.store.ledger import Mode, make_record, parse_record, parse_records, record_dtype

STORE_ID = bytes(range(16))
GRID = RowGrid(10, 2, 4)
ARRAYS = [ShardedArray(name, GRID, (3,), np.dtype("int8"), 0) for name in ("latents", "quality")]
DTYPE = record_dtype(ARRAYS, NO_GUARANTEE)


def record(shard=1, **changes):
    values = {
        "mode": Mode.LATENTS,
        "store_id": np.frombuffer(STORE_ID, np.uint8),
        "shard": shard,
        "row_start": 4 * shard,
        "row_stop": 4 * shard + 4,
        "max_abs_error": 0.5,
        "saturated": 2**40,
        "size_bytes_1": 77,
        "chunk_crc32c_0": [1, 2**32 - 1],
    }
    return make_record(DTYPE, values | changes)


def test_round_trip():
    found = parse_record(record(), DTYPE, STORE_ID, 1)
    assert (found["row_start"], found["row_stop"], found["max_abs_error"]) == (4, 8, 0.5)
    assert (found["saturated"], found["size_bytes_1"]) == (2**40, 77)
    assert found["chunk_crc32c_0"].tolist() == [1, 2**32 - 1]
    assert found["exceptions"] == 0


def test_a_record_begins_with_a_version_that_is_not_zero_and_ends_with_its_checksum():
    content = record()
    assert content[0] == 1
    assert int.from_bytes(content[-4:], "little") == google_crc32c.value(content[:-4])


def test_records_have_no_holes():
    assert DTYPE.itemsize == sum(DTYPE[name].itemsize for name in DTYPE.names)


def test_a_whole_ledger():
    content = b"".join(record(shard) for shard in range(3))
    assert parse_records(content, DTYPE, STORE_ID)["row_start"].tolist() == [0, 4, 8]


@given(bit=st.integers(0, 8 * DTYPE.itemsize - 1))
def test_a_flipped_bit_is_damage(bit):
    content = bytearray(record())
    content[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptStore, match="ledger record of shard 1"):
        parse_record(bytes(content), DTYPE, STORE_ID, 1)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (record()[:-1], "truncated"),
        (record() + b"\0", "truncated"),
        (bytes(DTYPE.itemsize), "damaged"),
        (record(shard=2), "belongs to another place"),
        (record(store_id=np.zeros(16, np.uint8)), "belongs to another place"),
        (record(mode=9), "mode 9"),
    ],
    ids=["short", "long", "zeros", "shard", "store", "mode"],
)
def test_what_is_no_record_of_this_shard(content, problem):
    with pytest.raises(CorruptStore, match=f"ledger record of shard 1.*{problem}"):
        parse_record(content, DTYPE, STORE_ID, 1)


def test_swapped_records_are_damage():
    with pytest.raises(CorruptStore, match="shard 0 belongs to another place"):
        parse_records(record(1) + record(0), DTYPE, STORE_ID)
