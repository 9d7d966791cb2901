"""The entropy coder as a codec of zarr-python, which finds it by the entry point `zarr.codecs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from zarr.core.array_spec import ArraySpec
from zarr.core.common import JSON, parse_named_configuration

from engine.store.rans import RansCoder
from engine.store.rans_tables import RANS_CODEC, RansTables
from engine.store.zarr_chunk_codec import ChunkCodec


@dataclass(frozen=True)
class RansCodec(ChunkCodec):
    """Chunks of int8 or int16 `(chunk_samples, *item_shape)` by tables; see `docs/format.md`, 3.9.

    Raises:
        InvalidInput: by `validate`, for another data type.
        CorruptStore: by `decode`, for damaged chunks.
    """

    coded_by: ClassVar[str] = "rANS"

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

    def coder(self, chunk_spec: ArraySpec) -> RansCoder:
        """What codes chunks of a shape and data type."""
        return RansCoder(self.tables, chunk_spec.shape, chunk_spec.dtype.to_native_dtype())
