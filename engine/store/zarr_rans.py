"""The entropy coder as a codec of zarr-python, which finds it by the entry point `zarr.codecs`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.common import JSON, parse_named_configuration

from engine.store.rans import RansCoder
from engine.store.rans_tables import RANS_CODEC, RansTables


@dataclass(frozen=True)
class RansCodec(ArrayBytesCodec):
    """Chunks of int8 or int16 `(chunk_samples, *item_shape)` by tables; see `docs/format.md`, 3.9.

    Raises:
        InvalidInput: by `validate`, for another data type.
        CorruptStore: by `decode`, for damaged chunks.
    """

    is_fixed_size = False

    tables: RansTables

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> RansCodec:
        """Read the codec of an array's metadata.

        Raises:
            InvalidInput: its tables make no sense.
        """
        _, configuration = parse_named_configuration(data, RANS_CODEC)
        return cls(RansTables.from_json(configuration))

    def to_dict(self) -> dict[str, JSON]:
        """The codec in an array's metadata."""
        return {"name": RANS_CODEC, "configuration": self.tables.to_json()}

    def validate(self, *, dtype: Any, **_: Any) -> None:
        """Refuse arrays of a data type that the tables aren't for."""
        self.tables.require(dtype.to_native_dtype())

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before encoding."""
        raise NotImplementedError

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        coder, content = self._coder(chunk_spec), chunk_data.to_bytes()
        values = await asyncio.to_thread(coder.decode, content, "a chunk coded by rANS")
        return chunk_spec.prototype.nd_buffer.from_numpy_array(values)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        values: NDArray[Any] = chunk_data.as_numpy_array()
        content = await asyncio.to_thread(self._coder(chunk_spec).encode, values)
        return chunk_spec.prototype.buffer.from_bytes(content)

    def _coder(self, chunk_spec: ArraySpec) -> RansCoder:
        return RansCoder(self.tables, chunk_spec.shape, chunk_spec.dtype.to_native_dtype())
