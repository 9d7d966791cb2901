"""How the values of a chunk become bytes: an order of the axes, then a coder.

Zarr specs: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidInput
from engine.store.byte_planes import from_planes, to_planes
from engine.store.chunk_coder import ChunkCoder, CodesChunks, OneByOne
from engine.store.context import ContextCoder
from engine.store.context_model import CONTEXT_CODEC, ContextModel
from engine.store.pcodec_file import compress_file, decompress_file
from engine.store.prediction import NO_PREDICTION, Prediction
from engine.store.rans import RansCoder
from engine.store.rans_tables import RANS_CODEC, RansTables
from engine.store.zstd_frame import compress_frame, decompress_frame

ZSTD = "zstd"
PCODEC = "pcodec"
RANS = "rans"
CONTEXT = "context"
PREDICTION = "prediction"
BYTES_OF = "bytes_of"
_ZARR_PCODEC = "numcodecs.pcodec"
_CRC32C = {"name": "crc32c"}
_LEVELS = {ZSTD: range(1, 23), PCODEC: range(13), RANS: range(1, 2), CONTEXT: range(1, 2)}


@dataclass(frozen=True)
class Coding(CodesChunks):
    """An order of a chunk's axes and a coder; the default is that of latents.

    Args of the dataclass:
        coder: "zstd", which every Zarr v3 library reads, "pcodec", "rans" or "context".
        level: of the coder: 1 to 22, 0 to 12; 1 of the others.
        samples_last: the sample axis comes last, so that equal positions lie together.
        planes: the Zarr array is one of bytes, with one axis more, which comes first: all lowest
            bytes, then all second ones. Integers are folded before: 0, -1, 1, -2 ... become
            0, 1, 2, 3 ..., so that what is small has zeros above the lowest byte.
        tables: of "rans", and of it alone: how frequent the values of each position are.
        model: of "context", and of it alone: what neighbours tell of a value.

    Raises:
        InvalidInput: no such coder or level; pcodec in another order than that of the array
            (zarr-python reads that back wrong); rANS without tables, contexts without a model, or
            either of byte planes.
    """

    coder: str = ZSTD
    level: int = 1
    samples_last: bool = True
    planes: bool = False
    tables: RansTables | None = None
    model: ContextModel | None = None

    def __post_init__(self) -> None:
        """Refuse what can't be read back."""
        if type(self.level) is not int or self.level not in _LEVELS.get(self.coder, range(0)):
            raise InvalidInput(f"no coding of chunks by {self.coder!r} at level {self.level!r}")
        if self.coder == PCODEC and (self.samples_last or self.planes):
            raise InvalidInput("pcodec takes chunks in the order of their array only")
        if (self.coder == RANS) != (self.tables is not None) or (
            self.coder == RANS and (self.planes or not self.samples_last)
        ):
            raise InvalidInput("rANS takes values by tables, the samples last, and only it does")
        if (self.coder == CONTEXT) != (self.model is not None) or (
            self.coder == CONTEXT and (self.planes or not self.samples_last)
        ):
            raise InvalidInput("contexts take values by a model, the samples last, as nothing else")

    @property
    def is_portable(self) -> bool:
        """Whether core Zarr v3 codecs are all it takes."""
        return self.coder == ZSTD

    def stored_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Data type of the Zarr array that holds values of `dtype`."""
        return np.dtype(np.uint8) if self.planes else dtype

    def stored_shape(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, ...]:
        """Shape of what the Zarr array holds for values of `shape`."""
        return (*shape, dtype.itemsize) if self.planes else shape

    def codecs(self, axes: int, dtype: np.dtype[Any]) -> list[dict[str, Any]]:
        """The codecs in `zarr.json` for chunks of so many axes, the sample axis counted."""
        if self.coder == PCODEC:
            return [{"name": _ZARR_PCODEC, "configuration": {"level": self.level}}, _CRC32C]
        if self.tables is not None:
            self.tables.require(dtype)
            return [{"name": RANS_CODEC, "configuration": self.tables.to_json()}, _CRC32C]
        if self.model is not None:
            self.model.require(dtype, axes)
            return [{"name": CONTEXT_CODEC, "configuration": self.model.to_json()}, _CRC32C]
        order, stored = self._order(axes), self.stored_dtype(dtype)
        endian = {"configuration": {"endian": "little"}} if stored.itemsize > 1 else {}
        transpose = {"name": "transpose", "configuration": {"order": list(order)}}
        compression = {"level": self.level, "checksum": False}
        return [
            *([transpose] if self.samples_last or self.planes else []),
            {"name": "bytes", **endian},
            {"name": "zstd", "configuration": compression},
            _CRC32C,
        ]

    @classmethod
    def from_codecs(
        cls, codecs: Sequence[Any], axes: int, dtype: np.dtype[Any], *, planes: bool
    ) -> Coding:
        """The coding whose `codecs` these are.

        Raises:
            InvalidInput: none has them.
        """
        for codec in codecs:
            for coding in _codings_with(codec, planes=planes):
                if coding.codecs(axes, dtype) == list(codecs):
                    return coding
        names = [codec["name"] for codec in codecs]
        raise InvalidInput(f"chunks of {dtype} aren't coded by {names} of this configuration")

    def for_chunks(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ChunkCoder:
        """What codes chunks of a shape, decoding in no more memory than the values take."""
        if self.coder == PCODEC:
            return OneByOne(
                lambda values: compress_file(values, self.level),
                lambda content, where: decompress_file(content, shape, dtype, where),
                shape[0],
            )
        if self.tables is not None:
            return RansCoder(self.tables, shape, dtype)
        if self.model is not None:
            contextual = ContextCoder(self.model, shape, dtype)
            return OneByOne(contextual.encode, contextual.decode, shape[0])
        return self._by_zstd(shape, dtype)

    def _by_zstd(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ChunkCoder:
        little_endian = self.stored_dtype(dtype).newbyteorder("<")
        stored_shape, order = self.stored_shape(shape, dtype), self._order(len(shape))
        ordered = tuple(stored_shape[axis] for axis in order)
        back = tuple(order.index(axis) for axis in range(len(order)))

        def encode(values: NDArray[Any]) -> bytes:
            stored = to_planes(values) if self.planes else values
            in_order = np.ascontiguousarray(stored.transpose(order), little_endian)
            return compress_frame(in_order, self.level)

        def decode(content: bytes, where: str) -> NDArray[Any]:
            stored = decompress_frame(content, ordered, little_endian, where).transpose(back)
            return from_planes(stored, dtype) if self.planes else stored

        return OneByOne(encode, decode, shape[0])

    def scratch_bytes(self, shape: tuple[int, ...]) -> int:
        """The most memory that one buffer takes beside the values of a chunk of `shape`."""
        if self.model is not None:
            return self.model.scratch_bytes(shape)
        return 0 if self.tables is None else self.tables.scratch_bytes(shape)

    def _order(self, axes: int) -> tuple[int, ...]:
        """The axes of what is stored, in the order in which they are coded."""
        samples_and_item = (*range(1, axes), 0) if self.samples_last else tuple(range(axes))
        return (axes, *samples_and_item) if self.planes else samples_and_item

    def __str__(self) -> str:
        if self.tables is not None:
            return f"{self.coder} by {len(self.tables.tables)} tables"
        if self.model is not None:
            return f"{self.coder} by {len(self.model.leaves)} tables"
        return f"{self.coder} {self.level}"


LATENT_CODING = Coding()


def _codings_with(codec: Mapping[str, Any], *, planes: bool) -> list[Coding]:
    """The codings that have a codec with its configuration."""
    if codec["name"] == RANS_CODEC:
        return [Coding(RANS, planes=planes, tables=RansTables.from_json(codec["configuration"]))]
    if codec["name"] == CONTEXT_CODEC:
        model = ContextModel.from_json(codec["configuration"])
        return [Coding(CONTEXT, planes=planes, model=model)]
    if codec["name"] == _ZARR_PCODEC:
        return [Coding(PCODEC, codec["configuration"]["level"], False, planes)]
    if codec["name"] == ZSTD:
        level = codec["configuration"]["level"]
        return [Coding(ZSTD, level, last, planes) for last in (True, False)]
    return []


@dataclass(frozen=True)
class Coded(CodesChunks):
    """How the chunks of an array are kept: a prediction of its integers, then a coding."""

    prediction: Prediction = NO_PREDICTION
    coding: Coding = LATENT_CODING

    def attributes(self, dtype: np.dtype[Any]) -> dict[str, Any]:
        """Attributes that say what the Zarr array holds, where that isn't the values."""
        predicted = {PREDICTION: self.prediction.to_json()} if self.prediction else {}
        return predicted | ({BYTES_OF: dtype.name} if self.coding.planes else {})

    @classmethod
    def from_metadata(
        cls, attributes: Mapping[str, Any], codecs: Sequence[Any], axes: int, dtype: np.dtype[Any]
    ) -> Coded:
        """Read `attributes` and codecs of an array of values of so many axes, samples counted.

        Raises:
            InvalidInput: they make no sense.
        """
        prediction = NO_PREDICTION
        if PREDICTION in attributes:
            prediction = Prediction.from_json(attributes[PREDICTION], axes)
        if prediction and dtype.kind not in "iu":
            raise InvalidInput(f"values of {dtype} can't be predicted")
        return cls(
            prediction, Coding.from_codecs(codecs, axes, dtype, planes=BYTES_OF in attributes)
        )

    def for_chunks(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ChunkCoder:
        """What codes chunks of a shape; see `Coding.for_chunks`."""
        coder = self.coding.for_chunks(shape, dtype)
        if not self.prediction:
            return coder
        predict, undo = self.prediction.to_differences, self.prediction.from_differences
        return OneByOne(
            lambda values: coder.encode(predict(values)),
            lambda content, where: undo(coder.decode(content, where)),
            shape[0],
        )

    def __str__(self) -> str:
        steps = [str(self.prediction)] if self.prediction else []
        steps += ["byte planes"] if self.coding.planes else []
        return ", ".join([*steps, str(self.coding)])


DEFAULT_CODED = Coded()
