"""The contextual coder for zarr-python, which finds it by the entry point `zarr.codecs`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.common import JSON, parse_named_configuration

from engine.store.context import ContextCoder
from engine.store.context_model import CONTEXT_CODEC, ContextModel


@dataclass(frozen=True)
class ContextCodec(ArrayBytesCodec):
    """Chunks `(chunk_samples, *item_shape)` by a model; see `docs/format.md`, 3.11.

    Raises:
        InvalidInput: by `validate`, for another data type or number of axes.
        CorruptStore: by `decode`, for damaged chunks.
    """

    is_fixed_size = False

    model: ContextModel

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> ContextCodec:
        """Read the codec of an array's metadata.

        Raises:
            InvalidInput: its model makes no sense.
        """
        _, configuration = parse_named_configuration(data, CONTEXT_CODEC)
        return cls(ContextModel.from_json(configuration))

    def to_dict(self) -> dict[str, JSON]:
        """The codec in an array's metadata."""
        return {"name": CONTEXT_CODEC, "configuration": self.model.to_json()}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, **_: Any) -> None:
        """Refuse arrays that the model isn't for."""
        self.model.require(dtype.to_native_dtype(), len(shape))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before encoding."""
        raise NotImplementedError

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        coder, content = self._coder(chunk_spec), chunk_data.to_bytes()
        values = await asyncio.to_thread(coder.decode, content, "a chunk coded by contexts")
        return chunk_spec.prototype.nd_buffer.from_numpy_array(values)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        values: NDArray[Any] = chunk_data.as_numpy_array()
        content = await asyncio.to_thread(self._coder(chunk_spec).encode, values)
        return chunk_spec.prototype.buffer.from_bytes(content)

    def _coder(self, chunk_spec: ArraySpec) -> ContextCoder:
        return ContextCoder(self.model, chunk_spec.shape, chunk_spec.dtype.to_native_dtype())
