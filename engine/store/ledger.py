"""The ledger: one record of fixed size per shard, written when the shard is whole on the disk.

`docs/format.md` has the table of fields. A record that begins with a zero byte was never written.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptStore
from engine.guarantee import Guarantee
from engine.store.arrays import ShardedArray

RECORD_VERSION = 1


class Mode(enum.IntEnum):
    """How the samples of a shard are kept."""

    LATENTS = 1
    RESIDUALS = 2
    QUANTISED = 3
    VERBATIM = 4

    @property
    def needs_network(self) -> bool:
        """Whether the decoder has a part in reading them."""
        return self in (Mode.LATENTS, Mode.RESIDUALS)


def record_dtype(arrays: Sequence[ShardedArray], guarantee: Guarantee) -> np.dtype[Any]:
    """Layout of one record for a part whose shards have objects in some of `arrays`."""
    fields: list[tuple[Any, ...]] = [
        ("version", "u1"),
        ("mode", "u1"),
        ("reserved", "u1", (6,)),
        ("store_id", "u1", (16,)),
        ("shard", "<u8"),
        ("row_start", "<u8"),
        ("row_stop", "<u8"),
        ("source_xxh3_128", "u1", (16,)),
        ("max_abs_error", "<f8"),
        ("worst_mse", "<f8"),
        ("sum_squared_error", "<f8"),
        ("data_min", "<f8"),
        ("data_max", "<f8"),
        ("saturated", "<u8"),
        ("exceptions", "<u8"),
        ("patches", "<u8"),
        ("residual_step", "<f8"),
        ("base", "<f8"),
    ]
    for position, array in enumerate(arrays):
        fields += [
            (f"size_bytes_{position}", "<u8"),
            (f"sha256_{position}", "u1", (32,)),
            (f"index_crc32c_{position}", "<u4"),
            (f"chunk_crc32c_{position}", "<u4", (array.grid.chunks_per_shard,)),
        ]
    if guarantee.kind == "lossless":
        fields.append(("samples_crc32c", "<u4", (arrays[0].grid.chunks_per_shard,)))
    return np.dtype([*fields, ("crc32c", "<u4")])


def make_record(dtype: np.dtype[Any], values: Mapping[str, Any]) -> bytes:
    """The bytes of one record; fields that `values` leaves out are 0."""
    record = np.zeros((), dtype)
    record["version"] = RECORD_VERSION
    for name, value in values.items():
        record[name] = value
    record["crc32c"] = google_crc32c.value(record.tobytes()[:-4])
    return record.tobytes()


def parse_record(content: bytes, dtype: np.dtype[Any], store_id: bytes, shard: int) -> np.void:
    """Read the record of a shard and check that it belongs where it lies.

    Raises:
        CorruptStore: it is damaged, or the record of another shard or store.
    """
    if len(content) != dtype.itemsize:
        raise CorruptStore(
            f"the ledger record of shard {shard} is truncated "
            f"(expected {dtype.itemsize} bytes, found {len(content)})"
        )
    record: np.void = np.frombuffer(content, dtype)[0]
    if record["crc32c"] != google_crc32c.value(content[:-4]):
        raise CorruptStore(f"the ledger record of shard {shard} is damaged (wrong checksum)")
    if record["version"] != RECORD_VERSION or record["mode"] not in list(Mode):
        raise CorruptStore(
            f"the ledger record of shard {shard} has version {record['version']} and mode "
            f"{record['mode']}, this engine knows {RECORD_VERSION} and {', '.join(map(str, Mode))}"
        )
    if bytes(record["store_id"]) != store_id or record["shard"] != shard:
        raise CorruptStore(f"the ledger record of shard {shard} belongs to another place")
    return record


def parse_records(content: bytes, dtype: np.dtype[Any], store_id: bytes) -> NDArray[Any]:
    """Read a whole compacted ledger, one record a shard.

    Raises:
        CorruptStore: a record is damaged or misplaced.
    """
    count = len(content) // dtype.itemsize
    for shard in range(count):
        start = shard * dtype.itemsize
        parse_record(content[start : start + dtype.itemsize], dtype, store_id, shard)
    return np.frombuffer(content, dtype)
