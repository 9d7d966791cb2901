"""A latent store that can be indexed like an array; samples are decoded on demand."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import CorruptStore, InvalidInput
from engine.guarantee import Guarantee
from engine.limits import DEFAULT_MEMORY_LIMIT
from engine.quality import decode_errors
from engine.reading.certification import certify_store
from engine.reading.reconstruction import Reconstruction
from engine.reading.selection import is_integer, select_rows, slice_rows
from engine.runtime.codec import Codec, batch_samples, batches
from engine.store.contents import StoreContents
from engine.store.plan import LATENTS, QUALITY, QUALITY_COLUMNS, SIDECARS
from engine.store.summary import StoreSummary, summarise

if TYPE_CHECKING:
    import zarr

_DECODE_BLOCK_BYTES = 2 * 1024 * 1024
_DECODE_BLOCK_SAMPLES = 65536
_QUALITY_BYTES = 4  # of one value as float32
_TEXT_EXPANSION = 4  # from UTF-8 to NumPy's text


class Store:
    """A latent store, open for reading; a context manager too.

    `store[key]` returns samples in their own dtype. The first index selects samples: an integer,
    a slice, a list of integers in any order and with repeats, or a boolean mask; further indices
    go to the decoded samples. Only chunks that hold asked-for samples are read, and only these
    samples are decoded.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        device: str = "auto",
        *,
        incomplete: bool = False,
        max_memory_bytes: int = DEFAULT_MEMORY_LIMIT,
        certify: bool = True,
    ) -> None:
        """Open a store.

        Args:
            path: folder of the store.
            device: where to decode: `auto`, `cpu` or `cuda`.
            incomplete: also open a store that is still being written; reading a sample that isn't
                committed is an error, see `committed`.
            max_memory_bytes: largest allocation that what lies in the store may ask for.
            certify: check at once that this device decodes as the store's guarantee needs it;
                without, it is checked when the first sample is decoded.

        Raises:
            InvalidInput: there is nothing at `path`.
            CorruptStore: it isn't a latent store, or is damaged.
            IncompatibleStore: it needs a later version of the engine.
            IncompleteStore: it is still being written.
            GuaranteeViolated: this device doesn't decode as the store's guarantee needs it.
            DeviceUnavailable: `device` can't run networks here.
        """
        self._reopen = functools.partial(
            Store,
            Path(path).absolute(),
            device,
            incomplete=incomplete,
            max_memory_bytes=max_memory_bytes,
            certify=False,
        )
        self.contents = StoreContents(
            Path(path).absolute(), incomplete=incomplete, max_memory_bytes=max_memory_bytes
        )
        self._device = device
        if certify and self.contents.guarantee.needs_certificate:
            self._reconstruction  # noqa: B018

    @property
    def shape(self) -> tuple[int, ...]:
        """`(samples, *sample_shape)`."""
        return tuple(self.contents.attributes["array_shape"])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the samples."""
        dtype: np.dtype[Any] = np.dtype(self.contents.attributes["dtype"])
        return dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def step(self) -> float:
        """Scale of the quantiser that the store was written with."""
        return float(self.contents.attributes["step"])

    @functools.cached_property
    def codec(self) -> Codec:
        """The codec that lies in the store."""
        codec = Codec(self.contents.codec_files, self._device)
        latents, expected = self.contents.arrays[LATENTS], codec.manifest.latent
        found = (self.shape[1:], self.dtype, latents.item_shape, latents.dtype)
        if found != (codec.sample_shape, codec.dtype, expected.shape, expected.dtype):
            raise CorruptStore(
                f"{self.contents.objects}: holds {self.dtype} samples of shape {self.shape[1:]} as "
                f"{latents.dtype} of shape {latents.item_shape}, its codec makes {codec.dtype} of "
                f"shape {codec.sample_shape} of {expected.dtype} of shape {expected.shape}"
            )
        return codec

    @property
    def guarantee(self) -> Guarantee:
        """What was promised of every sample."""
        return self.contents.guarantee

    @property
    def committed(self) -> NDArray[np.bool_]:
        """Which samples `(samples,)` can be read: all, unless the store is still being written."""
        self.contents.trusted.check_size(len(self), "a mark for every sample")
        shard_samples = min(self.contents.part.shard_samples, len(self))
        return np.repeat(self.contents.committed, shard_samples)[: len(self)]

    @functools.cached_property
    def _reconstruction(self) -> Reconstruction:
        """Decodes rows, once it is sure that this device may."""
        certify_store(self.contents, self.codec)
        return Reconstruction(self.contents, self.codec, self.step)

    @property
    def latents(self) -> zarr.Array[Any]:
        """Integer latents `(samples, *latent_shape)`, an ordinary Zarr array.

        Raises:
            IncompleteStore: some were not committed.
            InvalidInput: some were not stored.
        """
        self.contents.check_stored(LATENTS)
        return self.contents.zarr_array(LATENTS)

    @functools.cached_property
    def quality(self) -> Mapping[str, NDArray[np.float32]]:
        """`max_abs_error` and `mse` of every sample, float32 `(samples,)`, rounded up."""
        self.contents.trusted.check_size(len(self) * _QUALITY_BYTES, "the quality of all samples")
        codes, levels = self.contents.read_array(QUALITY), self.contents.error_levels
        with np.errstate(over="ignore"):
            columns = (levels, levels**2)
        return {
            name: decode_errors(codes[:, column], columns[column])
            for column, name in enumerate(QUALITY_COLUMNS)
        }

    @functools.cached_property
    def sidecars(self) -> Mapping[str, NDArray[Any]]:
        """The arrays carried along, by name, one item a sample."""
        arrays = [self.contents.arrays[f"{SIDECARS}/{name}"] for name in self.sidecar_names]
        item_bytes = sum(array.item_bytes * _TEXT_EXPANSION for array in arrays)
        self.contents.trusted.check_size(len(self) * item_bytes, "all sidecars")
        return {name: self._sidecar(f"{SIDECARS}/{name}") for name in self.sidecar_names}

    @property
    def sidecar_names(self) -> list[str]:
        """Names of the arrays carried along."""
        found = [name.partition(f"{SIDECARS}/") for name in self.contents.part.arrays]
        return [name for before, separator, name in found if separator and not before]

    @property
    def summary(self) -> StoreSummary:
        """Sizes and quality of the store."""
        return summarise(self.contents)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        index = key if isinstance(key, tuple) else (key,)
        if not index or index[0] is Ellipsis:
            return self[:][index]
        first, *rest = index
        samples = self.read(first)
        kept: Any = slice(None)
        if is_integer(first):
            kept = 0
        elif rest and not isinstance(first, slice):
            kept = np.arange(len(samples))  # NumPy pairs a list or mask with further lists
        result: NDArray[Any] = samples[(kept, *rest)]
        return result

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for start, stop in batches(len(self), self.block_samples):
            yield from self[start:stop]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a latent store is decoded: it can't become an array without a copy")
        samples = self[:]
        return samples if dtype is None else samples.astype(dtype, copy=False)

    def read(self, indices: ArrayLike | slice) -> NDArray[Any]:
        """Samples `(n, *sample_shape)` of a list of rows, a mask or a slice, in that order."""
        if not isinstance(indices, slice):
            return self._decode(select_rows(indices, len(self)))
        rows = slice_rows(indices, len(self))  # their numbers may take more than there is
        samples = self._unfilled(len(rows))
        for start, stop in batches(len(rows), self.block_samples):
            block = rows[start:stop]
            numbers = np.arange(block.start, block.stop, block.step, dtype=np.int64)
            samples[start:stop] = self._decode(numbers)
        return samples

    def read_latents(self, indices: ArrayLike | slice = slice(None)) -> NDArray[np.float32]:
        """Float32 latents `(n, *latent_shape)`, dequantised: the features of the samples."""
        rows = select_rows(indices, len(self))
        return self.codec.manifest.latent.dequantise(self.read_integer_latents(rows), self.step)

    def read_integer_latents(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Latents `(n, *latent_shape)` of row numbers, as they are stored; one read a chunk."""
        array = self.contents.arrays[LATENTS]
        latents = np.empty((len(rows), *array.item_shape), array.dtype)
        for shard, chunk, offsets, positions in array.grid.group_by_chunk(rows):
            latents[positions] = self.contents.read_rows(LATENTS, shard, chunk, offsets)
        return latents

    @property
    def block_samples(self) -> int:
        """Samples to decode at once: little to hold in memory, and whole chunks if they fit."""
        fitting = _DECODE_BLOCK_BYTES // self.codec.manifest.sample.size_bytes
        fitting = max(
            batch_samples(self.shape[1:], self.codec.device), min(fitting, _DECODE_BLOCK_SAMPLES)
        )
        chunk = self.contents.part.chunk_samples
        return fitting // chunk * chunk or fitting

    def close(self) -> None:
        """Let go of the codec; reading again would open it anew."""
        for name in ("codec", "_reconstruction"):
            self.__dict__.pop(name, None)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reopen, ()

    def __repr__(self) -> str:
        return f"<engine.Store {self.contents.objects} shape={self.shape} dtype={self.dtype}>"

    def _unfilled(self, count: int) -> NDArray[Any]:
        """Memory for so many samples."""
        try:
            return np.empty((count, *self.codec.sample_shape), self.codec.dtype)
        except (MemoryError, ValueError):
            raise InvalidInput(
                f"{self.contents.objects}: {count} samples of {self.codec.sample_shape} "
                f"{self.codec.dtype} don't fit into memory; read fewer at a time"
            ) from None

    def _decode(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Decode each row once, in the order of the store, and put it wherever it was asked for."""
        samples = self._unfilled(len(rows))
        order = np.argsort(rows, kind="stable")
        unique, firsts = np.unique(rows[order], return_index=True)
        bounds = np.append(firsts, len(rows))
        for start, stop in batches(len(unique), self.block_samples):
            block, positions = unique[start:stop], order[bounds[start] : bounds[stop]]
            decoded = self._reconstruction(block)
            samples[positions] = decoded[np.searchsorted(block, rows[positions])]
        return samples

    def _sidecar(self, name: str) -> NDArray[Any]:
        values = self.contents.read_array(name)
        encoding = self.contents.arrays[name].attributes.get("encoding")
        if encoding is None:
            return values
        if encoding not in ("utf-8", "bytes") or values.dtype != np.uint8 or values.ndim < 2:
            raise CorruptStore(f"{self.contents.objects}: {name} is no text")
        try:
            text = values.view(f"S{values.shape[-1]}")[..., 0]
            return np.char.decode(text, "utf-8") if encoding == "utf-8" else text
        except ValueError as error:
            raise CorruptStore(f"{self.contents.objects}: {name} is no text ({error})") from None
