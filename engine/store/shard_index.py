"""Where the chunks of a shard object lie: the index at its end, in one of two forms.

Zarr's own has two little-endian uint64 a chunk, offset and length. Where chunks are small that is a
good part of them: there it is `latent-engine.lengths`, the lengths alone, in as few bytes as any
chunk of the array may need; see `docs/format.md`, 3.10. Both close with a crc32c.
Zarr specs: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptStore, InvalidInput

CRC_BYTES = 4
ABSENT = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
LENGTHS_CODEC = "latent-engine.lengths"
_MOST_LENGTH_BYTES = 8
_CRC32C = {"name": "crc32c"}
_LITTLE_ENDIAN = {"name": "bytes", "configuration": {"endian": "little"}}


@dataclass(frozen=True)
class ShardIndex:
    """The form of the index of an array's shards: Zarr's own, or lengths of so many bytes.

    Raises:
        InvalidInput: lengths of another size than 1 to 8 bytes.
    """

    length_bytes: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no length is kept in."""
        size = self.length_bytes
        if size is not None and not (type(size) is int and 1 <= size <= _MOST_LENGTH_BYTES):
            raise InvalidInput(f"lengths of {size!r} bytes, expected 1 to {_MOST_LENGTH_BYTES}")

    @classmethod
    def of_lengths(cls, longest: int) -> ShardIndex:
        """Lengths of chunks of at most `longest` bytes; the largest number is for absent ones."""
        return cls(((longest + 1).bit_length() + 7) // 8)

    def size_bytes(self, chunks: int) -> int:
        """Bytes of the index at the end of a shard object of so many chunks, absent ones too."""
        return chunks * (16 if self.length_bytes is None else self.length_bytes) + CRC_BYTES

    def codecs(self) -> list[dict[str, Any]]:
        """The `index_codecs` in `zarr.json`."""
        if self.length_bytes is None:
            return [_LITTLE_ENDIAN, _CRC32C]
        lengths = {"name": LENGTHS_CODEC, "configuration": {"bytes": self.length_bytes}}
        return [lengths, _CRC32C]

    def encode(self, lengths: Sequence[int], chunks: int) -> bytes:
        """The index of chunks of these lengths, one right after the other; the rest are absent."""
        present = np.array(lengths, "<u8")
        index = np.full((chunks, 2), ABSENT, "<u8")
        index[: len(present)] = np.stack([np.cumsum(present) - present, present], axis=1)
        if self.length_bytes is None:
            table = index.tobytes()
        else:
            table = encode_lengths(index, self.length_bytes)
        closing: int = google_crc32c.value(table)
        return table + closing.to_bytes(CRC_BYTES, "little")

    def decode(self, content: bytes, where: str) -> NDArray[np.uint64]:
        """Offsets and lengths `(chunks, 2)` from the bytes of an index.

        Raises:
            CorruptStore: the checksum is wrong, or chunks overlap.
        """
        table = checked_body(content, f"{where}: the shard index")
        if self.length_bytes is not None:
            return decode_lengths(table, self.length_bytes)
        index = np.frombuffer(table, "<u8").reshape(-1, 2)
        starts, sizes = index[(index != ABSENT).any(axis=1)].T
        order = np.argsort(starts, kind="stable")
        starts, sizes = starts[order], sizes[order]
        if (sizes[:-1] > np.diff(starts)).any():
            raise CorruptStore(f"{where}: the shard index is damaged (chunks overlap)")
        return index


ZARR_INDEX = ShardIndex()
INDEX_FORMS = (ZARR_INDEX, *(ShardIndex(size) for size in range(1, _MOST_LENGTH_BYTES + 1)))


def encode_lengths(index: NDArray[np.uint64], length_bytes: int) -> bytes:
    """The lengths of an index `(chunks, 2)`, whose chunks lie one right after the other."""
    lengths = np.ascontiguousarray(index[:, 1], "<u8").view(np.uint8).reshape(-1, 8)
    return lengths[:, :length_bytes].tobytes()


def decode_lengths(table: bytes, length_bytes: int) -> NDArray[np.uint64]:
    """Offsets and lengths `(chunks, 2)` from what `encode_lengths` made."""
    padded = np.zeros((len(table) // length_bytes, 8), np.uint8)
    padded[:, :length_bytes] = np.frombuffer(table, np.uint8).reshape(-1, length_bytes)
    lengths = padded.view("<u8")[:, 0].astype(np.uint64)
    absent = lengths == ABSENT >> np.uint64(8 * (8 - length_bytes))
    there = np.where(absent, 0, lengths).astype(np.uint64)
    index = np.stack([np.cumsum(there, dtype=np.uint64) - there, lengths], axis=1)
    index[absent] = ABSENT
    return index


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
