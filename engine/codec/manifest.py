"""The manifest of a codec: what it takes, what it makes, and which files it consists of."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.codec.sample_format import DTYPES, SampleFormat, check_shape, is_finite, is_integer
from engine.errors import CorruptCodec, IncompatibleStore, InvalidInput
from engine.limits import DEFAULT_MEMORY_LIMIT, memory_problem

FORMAT_VERSION = 1
MAX_MANIFEST_BYTES = 4 << 20
MAX_FILES = 64
Bits = Literal[8, 16]

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_MAX_DIGITS = 100
_FILE_NAME = re.compile(r"(?!manifest\.json$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NOT_JSON_OF_OURS = (ValueError, KeyError, TypeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class LatentFormat:
    """Shape and width of one sample's latents, and what an integer latent stands for.

    `float32(q) * (scale * step) + offset` is the value of latent `q`; `scale` and `offset` hold
    one float32 number per channel, the first axis of `shape`.
    """

    shape: tuple[int, ...]
    bits: Bits
    scale: tuple[float, ...]
    offset: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse formats that contradict themselves, or float32."""
        check_shape("latents", self.shape)
        if not (is_integer(self.bits) and self.bits in (8, 16)):
            raise InvalidInput(f"expected latents of 8 or 16 bits, found {self.bits!r}")
        if not len(self.scale) == len(self.offset) == self.shape[0]:
            raise InvalidInput(
                f"latents of shape {self.shape} need {self.shape[0]} scales and offsets, "
                f"found {len(self.scale)} and {len(self.offset)}"
            )
        if not all(is_finite(value, _FLOAT32_MAX) for value in (*self.scale, *self.offset)) or (
            min(self.scale) <= 0
        ):
            raise InvalidInput("expected finite scales above 0 and finite offsets of latents")

    @property
    def dtype(self) -> np.dtype[Any]:
        """int8 or int16."""
        return np.dtype(f"int{self.bits}")

    @property
    def limit(self) -> int:
        """Largest magnitude of a latent: 127 or 32767; a latent there counts as saturated."""
        return latent_limit(self.bits)

    @property
    def fill_value(self) -> int:
        """The value that no encoder writes: what plain Zarr tools see where nothing was stored."""
        return -self.limit - 1

    @property
    def size_bytes(self) -> int:
        """Bytes of one sample's latents before compression."""
        return math.prod(self.shape) * self.dtype.itemsize

    def per_channel(self, values: tuple[float, ...]) -> NDArray[np.float32]:
        """One number per channel as float32, shaped to broadcast over `(batch, *shape)`."""
        return np.array(values, np.float32).reshape(-1, *[1] * (len(self.shape) - 1))

    def dequantise(self, latents: NDArray[Any], step: float) -> NDArray[np.float32]:
        """Float32 values of integer latents `(batch, *shape)`, as the decoder sees them."""
        spacing = self.per_channel(self.scale) * np.float32(step)
        return latents.astype(np.float32) * spacing + self.per_channel(self.offset)


def latent_limit(bits: Bits) -> int:
    """Largest magnitude of a latent of `bits` bits: both signs reach equally far."""
    return (1 << (bits - 1)) - 1


@dataclass(frozen=True)
class FileEntry:
    """One file of a codec: its name in the folder, its role, size in bytes and sha256."""

    name: str
    role: str
    size_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        """Refuse names that lead out of the folder, and entries that describe no file."""
        texts = (self.name, self.role, self.sha256)
        if not all(type(text) is str for text in texts) or not is_integer(self.size_bytes):
            raise InvalidInput("expected a file's name, role, size in bytes and sha256")
        if not _FILE_NAME.fullmatch(self.name):
            raise InvalidInput(
                f"the name {self.name[:99]!r} is not one of a file in the codec's folder"
            )
        if not _SHA256.fullmatch(self.sha256) or self.size_bytes < 0:
            raise InvalidInput(
                f"expected size in bytes and sha256 of {self.name}, "
                f"found {self.size_bytes} and {self.sha256[:99]!r}"
            )


@dataclass(frozen=True)
class Manifest:
    """Everything about a codec but its networks; JSON round-trippable."""

    sample: SampleFormat
    latent: LatentFormat
    files: tuple[FileEntry, ...]
    calibration: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse too many files, files of one name, and records that aren't by name."""
        if len(self.files) > MAX_FILES:
            raise InvalidInput(f"expected at most {MAX_FILES} files, found {len(self.files)}")
        names = [entry.name for entry in self.files]
        if len(set(names)) < len(names):
            raise InvalidInput(f"two files have one name among {', '.join(names)}")
        if not all(isinstance(record, Mapping) for record in (self.calibration, self.training)):
            raise InvalidInput("expected the records of calibration and training by name")

    def file(self, role: str) -> FileEntry:
        """The file that plays `role`.

        Raises:
            CorruptCodec: there is none, or several.
        """
        found = [entry for entry in self.files if entry.role == role]
        if len(found) != 1:
            raise CorruptCodec(
                f"the manifest lists {len(found) or 'no'} files with the role {role!r}, expected 1"
            )
        return found[0]

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, UTF-8, one trailing newline."""
        sample = asdict(self.sample) | {"dtype": self.sample.dtype.name}
        document = {
            "format": FORMAT_VERSION,
            "sample": sample,
            "latent": asdict(self.latent),
            "files": [asdict(entry) for entry in self.files],
            "calibration": dict(self.calibration),
            "training": dict(self.training),
        }
        return (json.dumps(document, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes, max_memory_bytes: int = DEFAULT_MEMORY_LIMIT) -> Manifest:
        """Read a manifest and check that it makes sense.

        Raises:
            CorruptCodec: it is no manifest, or one sample, its latents or the files take more than
                `max_memory_bytes`.
            IncompatibleStore: a later version wrote it.
        """
        document = _document(text)
        try:
            manifest = cls(
                sample=_sample_format(document["sample"]),
                latent=_latent_format(document["latent"]),
                files=tuple(map(_file_entry, document["files"])),
                calibration=document["calibration"],
                training=document["training"],
            )
            manifest.to_json()  # refuses numbers beyond float64, which Python reads as Infinity
        except InvalidInput as error:
            raise CorruptCodec(f"manifest.json is damaged: {str(error)[:300]}") from None
        except _NOT_JSON_OF_OURS as error:
            raise CorruptCodec(f"manifest.json is damaged: {repr(error)[:300]}") from None
        manifest.check_memory(max_memory_bytes)
        return manifest

    def check_memory(self, max_memory_bytes: int) -> None:
        """Refuse a codec of which one sample, its latents or all files take too much.

        Raises:
            CorruptCodec: says which of them takes more than `max_memory_bytes`.
        """
        for what, size_bytes in (
            ("one sample of the codec", self.sample.size_bytes),
            ("one sample's latents of the codec", self.latent.size_bytes),
            ("the codec in its files", sum(entry.size_bytes for entry in self.files)),
        ):
            if problem := memory_problem(what, size_bytes, max_memory_bytes):
                raise CorruptCodec(problem)


def _document(text: bytes) -> dict[str, Any]:
    """The members of a manifest of this format version."""
    if len(text) > MAX_MANIFEST_BYTES:
        raise CorruptCodec(
            f"manifest.json has {len(text)} bytes, a codec's has at most {MAX_MANIFEST_BYTES}"
        )
    try:
        document: dict[str, Any] = json.loads(
            text, object_pairs_hook=_members, parse_constant=_no_number, parse_int=_integer
        )
        version = document["format"]
        if not is_integer(version):
            raise TypeError(f"format is {version!r}")
    except _NOT_JSON_OF_OURS as error:
        reason = str(error)[:300]
        raise CorruptCodec(f"manifest.json is not a codec's manifest ({reason})") from None
    if version != FORMAT_VERSION:
        raise IncompatibleStore(
            f"the codec has format version {version}, this engine reads {FORMAT_VERSION}; "
            f"update the engine"
        )
    return document


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("an object has two members of one name")
    return members


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _file_entry(values: dict[str, Any]) -> FileEntry:
    return FileEntry(values["name"], values["role"], values["size_bytes"], values["sha256"])


def _sample_format(values: dict[str, Any]) -> SampleFormat:
    lists = ("shape", "network_shape", "data_range", "network_range")
    parsed = {"dtype": DTYPES[values["dtype"]], "channels_last": values["channels_last"]}
    return SampleFormat(**(values | parsed | {key: tuple(values[key]) for key in lists}))


def _latent_format(values: dict[str, Any]) -> LatentFormat:
    return LatentFormat(
        **(values | {key: tuple(values[key]) for key in ("shape", "scale", "offset")})
    )
