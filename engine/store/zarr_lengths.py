"""The short index of shards as a codec of zarr-python, by the entry point `zarr.codecs`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.common import JSON, parse_named_configuration

from engine.errors import InvalidInput
from engine.store.shard_index import LENGTHS_CODEC, ShardIndex, decode_lengths, encode_lengths


@dataclass(frozen=True)
class LengthsCodec(ArrayBytesCodec):
    """Offsets and lengths of chunks `(..., 2)` by lengths of so many bytes; `docs/format.md`, 3.10.

    Raises:
        InvalidInput: by `encode`, if chunks don't lie one right after the other, or are too long.
    """

    is_fixed_size = True

    length_bytes: int

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> LengthsCodec:
        """Read the codec of an array's metadata.

        Raises:
            InvalidInput: no length is kept in so many bytes.
        """
        _, configuration = parse_named_configuration(data, LENGTHS_CODEC)
        size = configuration.get("bytes")
        if not isinstance(size, int):
            raise InvalidInput(f"lengths of {size!r} bytes")
        ShardIndex(size)
        return cls(size)

    def to_dict(self) -> dict[str, JSON]:
        """The codec in an array's metadata."""
        return {"name": LENGTHS_CODEC, "configuration": {"bytes": self.length_bytes}}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Size of the index, without its checksum."""
        return input_byte_length // 16 * self.length_bytes

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        index = decode_lengths(chunk_data.to_bytes(), self.length_bytes)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(index.reshape(chunk_spec.shape))

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        index = chunk_data.as_numpy_array().reshape(-1, 2)
        table = encode_lengths(index, self.length_bytes)
        if not np.array_equal(decode_lengths(table, self.length_bytes), index):
            raise InvalidInput("chunks that don't lie one right after the other have no such index")
        return chunk_spec.prototype.buffer.from_bytes(table)
