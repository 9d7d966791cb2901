"""The contextual coder for zarr-python, which finds it by the entry point `zarr.codecs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from zarr.core.array_spec import ArraySpec
from zarr.core.common import JSON, parse_named_configuration

from engine.store.context import ContextCoder
from engine.store.context_model import CONTEXT_CODEC, ContextModel
from engine.store.zarr_chunk_codec import ChunkCodec


@dataclass(frozen=True)
class ContextCodec(ChunkCodec):
    """Chunks `(chunk_samples, *item_shape)` by a model; see `docs/format.md`, 3.11.

    Raises:
        InvalidInput: by `validate`, for another data type or number of axes.
        CorruptStore: by `decode`, for damaged chunks.
    """

    coded_by: ClassVar[str] = "contexts"

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

    def coder(self, chunk_spec: ArraySpec) -> ContextCoder:
        """What codes chunks of a shape and data type."""
        return ContextCoder(self.model, chunk_spec.shape, chunk_spec.dtype.to_native_dtype())
