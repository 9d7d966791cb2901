"""Shard objects as bytes: what Zarr's `sharding_indexed` codec defines, written and read by us.

An object is its encoded chunks one after the other and, last, an index of one little-endian
(offset, length) pair of uint64 per chunk, closed by a crc32c. A chunk is what `store.coding` makes
of its values, closed by a crc32c, too.
Zarr specs: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptStore
from engine.store.coding import DEFAULT_CODED, Coded

CRC_BYTES = 4
_ABSENT = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


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
) -> ShardObject:
    """Encode the rows `(n, ...)` of one shard; a last short chunk is padded with the last.

    Chunks after the last row are absent, as Zarr has it; their checksum is 0.
    """
    index = np.full((chunks_per_shard, 2), _ABSENT, "<u8")
    checksums = np.zeros(chunks_per_shard, np.uint32)
    encoded: list[bytes] = []
    offset = 0
    for chunk, start in enumerate(range(0, len(rows), chunk_samples)):
        part = rows[start : start + chunk_samples]
        if len(part) < chunk_samples:
            padding = np.repeat(part[-1:], chunk_samples - len(part), axis=0)
            part = np.concatenate([part, padding])
        content = encode_chunk(part, coded)
        index[chunk] = offset, len(content)
        checksums[chunk] = closing_crc32c(content)
        encoded.append(content)
        offset += len(content)
    table = index.tobytes()
    index_crc32c = google_crc32c.value(table)
    closing = index_crc32c.to_bytes(CRC_BYTES, "little")
    return ShardObject(b"".join([*encoded, table, closing]), checksums, index_crc32c)


def encode_chunk(rows: NDArray[Any], coded: Coded = DEFAULT_CODED) -> bytes:
    """Encode one full chunk `(chunk_samples, ...)`."""
    content = coded.encode(rows)
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


def index_size_bytes(chunks_per_shard: int) -> int:
    """Bytes of the index at the end of a shard object."""
    return chunks_per_shard * 16 + CRC_BYTES


def decode_index(content: bytes, where: str) -> NDArray[np.uint64]:
    """Offsets and lengths `(chunks_per_shard, 2)` from the bytes of an index.

    Raises:
        CorruptStore: the checksum is wrong, or chunks overlap.
    """
    table = checked_body(content, f"{where}: the shard index")
    index = np.frombuffer(table, "<u8").reshape(-1, 2)
    starts, sizes = index[(index != _ABSENT).any(axis=1)].T
    order = np.argsort(starts, kind="stable")
    starts, sizes = starts[order], sizes[order]
    if (sizes[:-1] > np.diff(starts)).any():
        raise CorruptStore(f"{where}: the shard index is damaged (chunks overlap)")
    return index


def split_shard(content: bytes, chunks_per_shard: int, where: str) -> list[bytes]:
    """The encoded chunks of a shard object, without those that are absent.

    Raises:
        CorruptStore: the index or a chunk doesn't have the checksum that it closes with.
    """
    index = decode_index(content[-index_size_bytes(chunks_per_shard) :], where)
    chunks = [content[offset : offset + size] for offset, size in index.tolist() if size != _ABSENT]
    for chunk in chunks:
        checked_body(chunk, f"{where}: a chunk")
    return chunks


def closing_crc32c(content: bytes) -> int:
    """The checksum that an encoded chunk or index closes with."""
    return int.from_bytes(content[-CRC_BYTES:], "little")


def checked_body(content: bytes, what: str) -> bytes:
    """What comes before the closing checksum of an encoded chunk or index, once that is right.

    Raises:
        CorruptStore: it is wrong; `what` begins the message.
    """
    body = content[:-CRC_BYTES]
    if google_crc32c.value(body) != closing_crc32c(content):
        raise CorruptStore(f"{what} is damaged (its checksum is wrong)")
    return body
