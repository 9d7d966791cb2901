"""Shard objects as bytes: what Zarr's `sharding_indexed` codec defines, written and read by us.

An object is its encoded chunks one after the other and, last, their index, see `store.shard_index`.
A chunk is what `store.coding` makes of its values, closed by a crc32c.
Zarr specs: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from engine.store.coding import DEFAULT_CODED, Coded
from engine.store.shard_index import (
    ABSENT,
    CRC_BYTES,
    ZARR_INDEX,
    ShardIndex,
    checked_body,
    closing_crc32c,
)


@dataclass(frozen=True)
class ShardObject:
    """One encoded shard: the object's bytes, and the checksums that the ledger keeps."""

    content: bytes
    chunk_crc32c: NDArray[np.uint32]
    index_crc32c: int


def encode_shard(
    rows: NDArray[Any],
    chunk_samples: int,
    chunks_per_shard: int,
    coded: Coded = DEFAULT_CODED,
    index: ShardIndex = ZARR_INDEX,
) -> ShardObject:
    """Encode the rows `(n, ...)` of one shard; a last short chunk is padded with the last.

    Chunks after the last row are absent, as Zarr has it; their checksum is 0.
    """
    coder = coded.for_chunks((chunk_samples, *rows.shape[1:]), rows.dtype)
    whole = len(rows) // chunk_samples * chunk_samples
    contents = coder.encode_run(rows[:whole])
    if whole < len(rows):
        last = np.repeat(rows[-1:], whole + chunk_samples - len(rows), axis=0)
        contents.append(coder.encode(np.concatenate([rows[whole:], last])))
    encoded = [_closed(content) for content in contents]
    checksums = np.zeros(chunks_per_shard, np.uint32)
    checksums[: len(encoded)] = [closing_crc32c(chunk) for chunk in encoded]
    table = index.encode([len(content) for content in encoded], chunks_per_shard)
    return ShardObject(b"".join([*encoded, table]), checksums, closing_crc32c(table))


def encode_chunk(rows: NDArray[Any], coded: Coded = DEFAULT_CODED) -> bytes:
    """Encode one full chunk `(chunk_samples, ...)`."""
    return _closed(coded.encode(rows))


def _closed(content: bytes) -> bytes:
    closing: int = google_crc32c.value(content)
    return content + closing.to_bytes(CRC_BYTES, "little")


def decode_chunk(
    content: bytes,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    where: str,
    coded: Coded = DEFAULT_CODED,
) -> NDArray[Any]:
    """Decode one chunk to `shape` = `(chunk_samples, ...)`.

    Raises:
        CorruptStore: the bytes are damaged; `where` names them.
    """
    return coded.decode(checked_body(content, where), shape, dtype, where)


def split_shard(
    content: bytes, chunks_per_shard: int, where: str, index: ShardIndex = ZARR_INDEX
) -> list[bytes]:
    """The encoded chunks of a shard object, without those that are absent.

    Raises:
        CorruptStore: the index or a chunk doesn't have the checksum that it closes with.
    """
    places = index.decode(content[-index.size_bytes(chunks_per_shard) :], where)
    chunks = [content[offset : offset + size] for offset, size in places.tolist() if size != ABSENT]
    for chunk in chunks:
        checked_body(chunk, f"{where}: a chunk")
    return chunks
