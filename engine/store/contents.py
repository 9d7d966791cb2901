"""Reads what lies in a store: head, codec, ledger, and the chunks of its arrays."""

from __future__ import annotations

import functools
import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.codec.files import CodecFiles
from engine.codec.sample_format import DTYPES
from engine.errors import CorruptStore, IncompleteStore, InvalidInput
from engine.guarantee import Guarantee
from engine.limits import DEFAULT_MEMORY_LIMIT
from engine.quality import error_levels
from engine.store.arrays import METADATA, ShardedArray, axis_lengths
from engine.store.consistency import check_array, check_ledger
from engine.store.head import VARIABLE, WRITING, Part
from engine.store.ledger import Mode, record_dtype
from engine.store.objects import LocalObjects
from engine.store.plan import CERTIFICATE, LATENTS, LEDGER, QUALITY
from engine.store.root import read_head
from engine.store.shard_reader import ShardReader
from engine.store.stored_codec import read_codec
from engine.store.stored_ledger import naming, read_committed, read_sealed
from engine.store.trusted import TrustedObjects

if TYPE_CHECKING:
    import zarr

_CACHED_INDEXES = 4096
_LEAST_STEP, _LARGEST_STEP = float(np.finfo("f4").tiny), float(np.finfo("f4").max)


class StoreContents:
    """A store on the disk, checked against its head as far as it is read."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        incomplete: bool = False,
        max_memory_bytes: int = DEFAULT_MEMORY_LIMIT,
    ) -> None:
        """Read the head.

        Args:
            path: the store's folder.
            incomplete: also open a store that is still being written, for what is committed.
            max_memory_bytes: largest allocation that what lies in the store may ask for.

        Raises:
            InvalidInput: there is nothing at `path`.
            CorruptStore: it isn't a latent store, or its head is damaged.
            IncompatibleStore: it needs a later version of the engine.
            IncompleteStore: the job that writes it has not ended.
        """
        self.objects = LocalObjects(path)
        self.head = read_head(self.objects, max_memory_bytes)
        self.trusted = TrustedObjects(self.objects, self.head, max_memory_bytes)
        self.is_sealed = self.head.state != WRITING
        if not (self.is_sealed or incomplete):
            raise IncompleteStore(
                f"{path}: the job that writes this store has not ended; run the same `engine "
                f"compress` again to finish it, or read what is committed (incomplete=True, "
                f"decode --incomplete)"
            )
        if not (self.is_sealed or self.head.objects):
            raise IncompleteStore(f"{path}: nothing was committed yet")
        self._shard_readers: dict[tuple[str, int], ShardReader] = {}

    @property
    def part(self) -> Part:
        """The part that holds the samples."""
        return self.head.variables[VARIABLE][0]

    @functools.cached_property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the variable's group: shape, dtype, guarantee, step."""
        key = f"{VARIABLE}/{METADATA}"
        document = self.trusted.metadata(key)
        with self.trusted.making_sense(key):
            attributes: dict[str, Any] = document["attributes"]
            samples, *sample_shape = axis_lengths(attributes["array_shape"])
            dtype, step = DTYPES[attributes["dtype"]], attributes["step"]
            is_step = type(step) in (int, float) and _LEAST_STEP <= step <= _LARGEST_STEP
            if samples != self.part.samples or not (sample_shape and is_step):
                raise ValueError(f"step {step}, {samples} samples of shape {sample_shape}")
        self.trusted.check_size(math.prod(sample_shape) * dtype.itemsize, "one sample")
        return attributes

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.attributes["array_shape"][1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the samples."""
        return DTYPES[self.attributes["dtype"]]

    @functools.cached_property
    def guarantee(self) -> Guarantee:
        """What was promised of every sample."""
        with self.trusted.making_sense(f"{VARIABLE}/{METADATA}"):
            return Guarantee.from_json(self.attributes["guarantee"])

    @functools.cached_property
    def arrays(self) -> dict[str, ShardedArray]:
        """The arrays with objects in the shards, by name, in the ledger's order."""
        if self.part.arrays[:1] != (LATENTS,):
            raise CorruptStore(f"{self.objects}: the head lists no {LATENTS}")
        return {name: self._sharded_array(name) for name in self.part.arrays}

    @functools.cached_property
    def ledger(self) -> NDArray[Any]:
        """All ledger records, one a shard; those of shards not committed have version 0."""
        shards = self.arrays[LATENTS].grid.shard_count
        with self.trusted.making_sense(f"{self.part.path}/{LEDGER}"):
            dtype = record_dtype(list(self.arrays.values()), self.guarantee)
        self.trusted.check_size(shards * dtype.itemsize, "the ledger")
        store_id = bytes.fromhex(self.head.store_id)
        if self.is_sealed:
            ledger = read_sealed(self.trusted, shards, dtype, store_id)
        else:
            ledger = read_committed(self.objects, shards, dtype, store_id)
        with naming(str(self.objects)):
            check_ledger(ledger, self.arrays, self.sample_shape, self.trusted.max_memory_bytes)
        return ledger

    @property
    def committed(self) -> NDArray[np.bool_]:
        """Which shards `(shards,)` are there: all, once the store is sealed."""
        there: NDArray[np.bool_] = self.ledger["version"] != 0
        return there

    def record(self, shard: int) -> np.void:
        """The ledger record of a shard.

        Raises:
            IncompleteStore: it was never committed.
        """
        record: np.void = self.ledger[shard]
        if record["version"] == 0:
            start, stop = self.arrays[LATENTS].grid.shard_rows(shard)
            raise IncompleteStore(
                f"{self.objects}: shard {shard} (samples {start} to {stop - 1}) was not committed; "
                f"run the same `engine compress` again to finish the store"
            )
        return record

    def mode(self, shard: int) -> Mode:
        """How the samples of a shard are kept."""
        return Mode(int(self.record(shard)["mode"]))

    @property
    def modes(self) -> set[Mode]:
        """The ways in which committed shards are kept."""
        return {Mode(int(mode)) for mode in self.ledger["mode"][self.committed]}

    def has(self, name: str, shard: int) -> bool:
        """Whether an array has an object in a shard."""
        return name in self.arrays and bool(self._recorded("size_bytes", name, shard))

    def stored_bytes(self, name: str) -> int:
        """Size of an array's objects in all committed shards."""
        return int(self.ledger[f"size_bytes_{self.part.arrays.index(name)}"].sum())

    @functools.cached_property
    def error_levels(self) -> NDArray[np.float64]:
        """The 256 errors, in the samples' units, that the codes of the quality stand for."""
        with self.trusted.making_sense(f"{self.part.path}/{QUALITY}/{METADATA}"):
            unit = self.arrays[QUALITY].attributes["unit"]
            if type(unit) not in (int, float) or not 0 < unit < math.inf:
                raise ValueError(f"unit {unit}")
            return error_levels(float(unit))

    @functools.cached_property
    def codec_files(self) -> CodecFiles:
        """The codec that lies in the store."""
        return read_codec(self.trusted, self.head)

    @functools.cached_property
    def certificate(self) -> bytes | None:
        """The certificate made for this store's `step`, if that isn't the codec's own."""
        if f"{CERTIFICATE}/{METADATA}" not in self.head.objects:
            return None
        return self.trusted.bytes_array(CERTIFICATE)

    def check_stored(self, name: str) -> None:
        """Refuse an array that some shards have nothing of: Zarr would read its fill value there.

        Raises:
            IncompleteStore: a shard was not committed.
            InvalidInput: a shard was stored without the array.
        """
        for shard in np.flatnonzero(self.ledger[f"size_bytes_{self.part.arrays.index(name)}"] == 0):
            self._check_stored_in(name, int(shard))

    def zarr_array(self, name: str) -> zarr.Array[Any]:
        """An array of the part as zarr-python opens it, read-only, checked as in `read_chunk`."""
        import zarr

        from engine.store.checked_zarr import CheckedZarr

        return zarr.open_array(CheckedZarr(self, self.arrays[name].name), mode="r")

    def read_array(self, name: str) -> NDArray[Any]:
        """A whole array of the part `(samples, ...)`, every chunk checked as in `read_chunk`."""
        array = self.arrays[name]
        self.trusted.check_size(array.grid.samples * array.item_bytes, name)
        values = np.empty((array.grid.samples, *array.item_shape), array.dtype)
        for shard in range(array.grid.shard_count):
            rows = values[slice(*array.grid.shard_rows(shard))]
            self.shard_reader(name, shard).fill(0, rows)
        return values

    def read_chunk(self, name: str, shard: int, chunk: int) -> NDArray[Any]:
        """One chunk `(chunk_samples, ...)` of an array: one ranged read, the index cached.

        Raises:
            CorruptStore: the object is missing, damaged, or not what the ledger recorded.
            IncompleteStore: the shard was not committed.
            InvalidInput: the array has no object in this shard.
        """
        return self.shard_reader(name, shard).read(chunk)

    def index(self, name: str, shard: int) -> NDArray[np.uint64]:
        """Offsets and lengths `(chunks_per_shard, 2)` in the object of a shard; see `read_chunk`.

        Chunks after the last row have the largest uint64 for both.
        """
        return self.shard_reader(name, shard).index

    def shard_reader(self, name: str, shard: int) -> ShardReader:
        """What reads the chunks of an array in one shard; see `read_chunk`."""
        reader = self._shard_readers.get((name, shard))
        if reader is None:
            if len(self._shard_readers) >= _CACHED_INDEXES:
                self._shard_readers.clear()
            reader = self._shard_readers[name, shard] = self._open_shard(name, shard)
        return reader

    def expected_shard_objects(self) -> dict[str, tuple[int, str]]:
        """Size in bytes and sha256, as the ledger has them, of every shard object."""
        return {
            f"{self.part.path}/{array.key(shard)}": (
                int(record[f"size_bytes_{position}"]),
                bytes(record[f"sha256_{position}"]).hex(),
            )
            for position, array in enumerate(self.arrays.values())
            for shard, record in enumerate(self.ledger)
            if record[f"size_bytes_{position}"]
        }

    def _open_shard(self, name: str, shard: int) -> ShardReader:
        self._check_stored_in(name, shard)
        array = self.arrays[name]
        return ShardReader(
            self.objects,
            f"{self.part.path}/{array.key(shard)}",
            array,
            int(self._recorded("size_bytes", name, shard)),
            int(self._recorded("index_crc32c", name, shard)),
            self._recorded("chunk_crc32c", name, shard),
        )

    def _check_stored_in(self, name: str, shard: int) -> None:
        if not self._recorded("size_bytes", name, shard):
            raise InvalidInput(f"{self.objects}: shard {shard} was stored without {name}")

    def _recorded(self, field: str, name: str, shard: int) -> Any:
        position = self.part.arrays.index(name)
        return self.record(shard)[f"{field}_{position}"]

    def _sharded_array(self, name: str) -> ShardedArray:
        key = f"{self.part.path}/{name}/{METADATA}"
        document = self.trusted.metadata(key)
        with self.trusted.making_sense(key):
            array = ShardedArray.from_metadata(name, document)
            check_array(array, self.part, self.sample_shape, self.dtype)
        index_bytes = array.index.size_bytes(array.grid.chunks_per_shard)
        self.trusted.check_size(max(array.chunk_bytes, index_bytes), f"reading {name}")
        return array
