"""What our coders of chunks have in common as codecs of zarr-python."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer

from engine.store.chunk_coder import Coder


@dataclass(frozen=True)
class ChunkCodec(ArrayBytesCodec):
    """A codec whose coder takes whole chunks `(chunk_samples, *item_shape)`.

    Raises:
        CorruptStore: by `decode`, for damaged chunks, "a chunk coded by `coded_by`".
    """

    is_fixed_size = False

    coded_by: ClassVar[str]

    @abstractmethod
    def coder(self, chunk_spec: ArraySpec) -> Coder:
        """What codes chunks of a shape and data type."""

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before encoding."""
        raise NotImplementedError

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        coder, content = self.coder(chunk_spec), chunk_data.to_bytes()
        values = await asyncio.to_thread(coder.decode, content, f"a chunk coded by {self.coded_by}")
        return chunk_spec.prototype.nd_buffer.from_numpy_array(values)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        values: NDArray[Any] = chunk_data.as_numpy_array()
        content = await asyncio.to_thread(self.coder(chunk_spec).encode, values)
        return chunk_spec.prototype.buffer.from_bytes(content)
