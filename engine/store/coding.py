"""How the values of a chunk become bytes: an order of the axes, then zstd or pcodec.

Zarr specs: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/; zstd frames: RFC 8878;
pcodec: https://github.com/pcodec/pcodec/blob/main/docs/format.md
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptStore, InvalidInput, one_line
from engine.store.prediction import NO_PREDICTION, Prediction
from engine.store.zstd_frame import compress_frame, decompress_frame

ZSTD = "zstd"
PCODEC = "pcodec"
PREDICTION = "prediction"
BYTES_OF = "bytes_of"
_ZARR_PCODEC = "numcodecs.pcodec"
_CRC32C = {"name": "crc32c"}
_ZSTD_LEVELS = range(1, 23)
_PCODEC_LEVELS = range(13)


@dataclass(frozen=True)
class Coding:
    """An order of a chunk's axes and a coder; the default is that of latents.

    Args of the dataclass:
        coder: "zstd", which every Zarr v3 library reads, or "pcodec".
        level: of the coder: 1 to 22, or 0 to 12.
        samples_last: the sample axis comes last, so that equal positions lie together.
        planes: the Zarr array is one of bytes, with one axis more, which comes first: all lowest
            bytes, then all second ones. Integers are folded before: 0, -1, 1, -2 ... become
            0, 1, 2, 3 ..., so that what is small has zeros above the lowest byte.

    Raises:
        InvalidInput: no such coder or level, or pcodec in another order than that of the array
            (zarr-python reads that back wrong).
    """

    coder: str = ZSTD
    level: int = 1
    samples_last: bool = True
    planes: bool = False

    def __post_init__(self) -> None:
        """Refuse what can't be read back."""
        levels = {ZSTD: _ZSTD_LEVELS, PCODEC: _PCODEC_LEVELS}.get(self.coder, range(0))
        if type(self.level) is not int or self.level not in levels:
            raise InvalidInput(f"no coding of chunks by {self.coder!r} at level {self.level!r}")
        if self.coder == PCODEC and (self.samples_last or self.planes):
            raise InvalidInput("pcodec takes chunks in the order of their array only")

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
        for codec, last in itertools.product(codecs, (True, False)):
            coder = {ZSTD: ZSTD, _ZARR_PCODEC: PCODEC}.get(codec["name"])
            if coder == ZSTD or (coder == PCODEC and not last):
                coding = cls(coder, codec["configuration"]["level"], last, planes)
                if coding.codecs(axes, dtype) == list(codecs):
                    return coding
        raise InvalidInput(f"chunks of {dtype} aren't coded by {codecs}")

    def encode(self, values: NDArray[Any]) -> bytes:
        """Encode a chunk `(chunk_samples, ...)`."""
        if self.coder == PCODEC:
            from pcodec import standalone

            flat = np.ascontiguousarray(values, values.dtype.newbyteorder("=")).reshape(-1)
            content: bytes = standalone.simple_compress(
                flat, _pcodec_config(self.level, flat.dtype)
            )
            return content
        stored = _bytes_of(values) if self.planes else values
        ordered = stored.transpose(self._order(values.ndim))
        little = np.ascontiguousarray(ordered, stored.dtype.newbyteorder("<"))
        return compress_frame(little, self.level)

    def decode(
        self, content: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], where: str
    ) -> NDArray[Any]:
        """Decode a chunk of `shape`, in no more memory than that takes.

        Raises:
            CorruptStore: the bytes are damaged, or hold another number of values.
        """
        return self.decoder(shape, dtype)(content, where)

    def decoder(
        self, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Callable[[bytes, str], NDArray[Any]]:
        """`decode` for chunks of one `shape`: `(content, where) -> values`."""
        if self.coder == PCODEC:
            return lambda content, where: _decode_pcodec(content, shape, dtype, where)
        stored_dtype = self.stored_dtype(dtype).newbyteorder("<")
        stored_shape, order = self.stored_shape(shape, dtype), self._order(len(shape))
        ordered = tuple(stored_shape[axis] for axis in order)
        back = tuple(order.index(axis) for axis in range(len(order)))

        def decode(content: bytes, where: str) -> NDArray[Any]:
            stored = decompress_frame(content, ordered, stored_dtype, where).transpose(back)
            return _values_of(stored, dtype) if self.planes else stored

        return decode

    def _order(self, axes: int) -> tuple[int, ...]:
        """The axes of what is stored, in the order in which they are coded."""
        samples_and_item = (*range(1, axes), 0) if self.samples_last else tuple(range(axes))
        return (axes, *samples_and_item) if self.planes else samples_and_item


LATENT_CODING = Coding()


@dataclass(frozen=True)
class Coded:
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

    def encode(self, values: NDArray[Any]) -> bytes:
        """Encode a chunk `(chunk_samples, ...)`."""
        return self.coding.encode(self.prediction.to_differences(values))

    def decode(
        self, content: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], where: str
    ) -> NDArray[Any]:
        """Decode a chunk of `shape`; see `Coding.decode`."""
        return self.decoder(shape, dtype)(content, where)

    def decoder(
        self, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Callable[[bytes, str], NDArray[Any]]:
        """`decode` for chunks of one `shape`: `(content, where) -> values`."""
        decode = self.coding.decoder(shape, dtype)
        if not self.prediction:
            return decode
        return lambda content, where: self.prediction.from_differences(decode(content, where))

    def __str__(self) -> str:
        steps = [str(self.prediction)] if self.prediction else []
        steps += ["byte planes"] if self.coding.planes else []
        return ", ".join([*steps, f"{self.coding.coder} {self.coding.level}"])


DEFAULT_CODED = Coded()


def _bytes_of(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The little-endian bytes of values `(...)`, integers folded, as `(..., itemsize)`."""
    dtype = values.dtype
    if dtype.kind in "iu":
        signed = values.astype(f"=i{dtype.itemsize}", copy=False)
        values = (signed << 1) ^ (signed >> (8 * dtype.itemsize - 1))
    raw = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return raw.reshape(*raw.shape, 1).view(np.uint8)


def _values_of(stored: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values of `dtype` from what `_bytes_of` made of them."""
    raw = np.ascontiguousarray(stored)
    if dtype.kind not in "iu":
        return raw.view(dtype.newbyteorder("<"))[..., 0]
    folded = raw.view(f"<u{dtype.itemsize}")[..., 0]
    unfolded: NDArray[Any] = (folded >> 1) ^ (-(folded & 1).astype(folded.dtype))
    return unfolded.view(dtype.newbyteorder("<"))


def _pcodec_config(level: int, dtype: np.dtype[Any]) -> Any:
    """Integers come as they are best coded; of floats pcodec looks for the structure."""
    from pcodec import ChunkConfig, DeltaSpec, ModeSpec

    if dtype.kind == "f":
        return ChunkConfig(compression_level=level)
    return ChunkConfig(
        compression_level=level,
        mode_spec=ModeSpec.classic(),
        delta_spec=DeltaSpec.no_op(),
        enable_8_bit=True,
    )


def _decode_pcodec(
    content: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], where: str
) -> NDArray[Any]:
    from pcodec import standalone

    values = np.empty(math.prod(shape), dtype.newbyteorder("="))
    try:
        progress = standalone.simple_decompress_into(content, values)
    except (RuntimeError, TypeError) as error:
        raise CorruptStore(f"{where} is damaged ({one_line(error)})") from None
    if progress.n_processed != values.size or not progress.finished:
        raise CorruptStore(f"{where} doesn't hold {values.size} values of {dtype}")
    return values.reshape(shape)
