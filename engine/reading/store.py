"""A latent store that can be indexed like an array; samples are decoded on demand."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import InvalidInput
from engine.guarantee import Guarantee
from engine.limits import DEFAULT_MEMORY_LIMIT
from engine.reading.certification import check_codec
from engine.reading.chunk_cache import DEFAULT_CACHE_BYTES
from engine.reading.latents import read_integer_latents
from engine.reading.quality import read_quality
from engine.reading.reader import Reader
from engine.reading.selection import is_integer, select_row, select_rows, slice_rows
from engine.reading.sidecars import read_sidecars, sidecar_names
from engine.runtime.codec import Codec
from engine.runtime.device import available_cores
from engine.runtime.forks import no_fork, survive_forks
from engine.store.contents import StoreContents
from engine.store.plan import LATENTS
from engine.store.summary import StoreSummary, summarise

if TYPE_CHECKING:
    import zarr

    from cuda_kernels.lane import Tensor
    from engine.reading.device_reconstruction import DeviceReconstruction

Rows = ArrayLike | slice


class Store:
    """A latent store, open for reading; a context manager too.

    `store[key]` returns samples in their own dtype. The first index selects samples: an integer,
    a slice, a list of integers in any order and with repeats, or a boolean mask; further indices
    go to the decoded samples. Only chunks that hold asked-for samples are read, and only these
    samples are decoded. Threads may share a store, and processes that are forked may go on with it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        device: str = "auto",
        *,
        incomplete: bool = False,
        max_memory_bytes: int = DEFAULT_MEMORY_LIMIT,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        certify: bool = True,
    ) -> None:
        """Open a store.

        Args:
            path: folder of the store.
            device: where to decode: `auto`, `cpu` or `cuda`.
            incomplete: also open a store that is still being written; reading a sample that isn't
                committed is an error, see `committed`.
            max_memory_bytes: largest allocation that what lies in the store may ask for.
            cache_bytes: how much to keep of what random reads decompress, 0 for nothing.
            certify: check at once that this device decodes as the store's guarantee needs it;
                without, it is checked when the first sample is decoded.

        Raises:
            InvalidInput: there is nothing at `path`, or `cache_bytes` is no size.
            CorruptStore: it isn't a latent store, or is damaged.
            IncompatibleStore: it needs a later version of the engine.
            IncompleteStore: it is still being written.
            GuaranteeViolated: this device doesn't decode as the store's guarantee needs it.
            DeviceUnavailable: `device` can't run networks here.
        """
        if not is_integer(cache_bytes) or cache_bytes < 0:
            raise InvalidInput(f"cache_bytes must be a number of bytes, got {cache_bytes!r:.99}")
        self._reopen = functools.partial(
            Store,
            Path(path).absolute(),
            device,
            incomplete=incomplete,
            max_memory_bytes=max_memory_bytes,
            cache_bytes=cache_bytes,
            certify=False,
        )
        self.contents = StoreContents(
            Path(path).absolute(), incomplete=incomplete, max_memory_bytes=max_memory_bytes
        )
        self._device, self._cache_bytes = device, cache_bytes
        self._reader: Reader | None = None
        self._on_device: dict[str, DeviceReconstruction] = {}
        self._callers = _callers()
        survive_forks(self)
        if certify and self.contents.guarantee.needs_certificate:
            self.reader  # noqa: B018

    @functools.cached_property
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
        check_codec(self.contents, codec)
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

    @property
    def reader(self) -> Reader:
        """Decodes rows, once it is sure that this device may."""
        reader = self._reader
        if reader is None:
            self.contents.objects.check_open()
            with no_fork:
                new = self._reader or Reader(self.contents, self.codec, self._cache_bytes)
                reader = self._reader = new
        return reader

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
        """`max_abs_error` and `mse` of every sample, float32 `(samples,)`, rounded up.

        Raises:
            InvalidInput: the store was written without.
        """
        return read_quality(self.contents)

    @functools.cached_property
    def sidecars(self) -> Mapping[str, NDArray[Any]]:
        """The arrays carried along, by name, one item a sample."""
        return read_sidecars(self.contents)

    @property
    def sidecar_names(self) -> list[str]:
        """Names of the arrays carried along."""
        return sidecar_names(self.contents)

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
        if is_integer(first):
            sample = self.reader.one(select_row(first, len(self)))
            # With the row in front: NumPy pairs it with further lists.
            return sample[np.newaxis][(0, *rest)] if rest else sample
        samples = self.read(first)
        kept: Any = slice(None)
        if rest and not isinstance(first, slice):
            kept = np.arange(len(samples))  # NumPy pairs a list or mask with further lists
        result: NDArray[Any] = samples[(kept, *rest)]
        return result

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for block in self.reader.in_blocks(range(len(self))):
            yield from block.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a latent store is decoded: it can't become an array without a copy")
        samples = self[:]
        return samples if dtype is None else samples.astype(dtype, copy=False)

    @overload
    def read(self, indices: Rows, *, device: None = None, out: Any = None) -> NDArray[Any]: ...

    @overload
    def read(self, indices: Rows, *, device: str) -> Tensor: ...

    def read(self, indices: Rows, *, device: str | None = None, out: Any = None) -> Any:
        """Samples `(n, *sample_shape)` of a list of rows, a mask or a slice, in that order.

        With a `device` such as `cuda` they are a torch tensor there (and by DLPack one of any other
        library), decoded where they stay; that needs the extra `cuda`. Else `out`, a C-contiguous
        array of their shape and dtype, takes them, which is quicker than new memory for each read.

        Raises:
            DeviceUnavailable: `device` can't run networks, or torch or Triton is missing.
            InvalidInput: `out` can't take the samples.
        """
        if device is not None:
            if out is not None:
                raise InvalidInput("out takes samples on the host; leave out device")
            return self._reconstruction_on(device)(select_rows(indices, len(self)))
        if isinstance(indices, slice):
            return self.reader.run(slice_rows(indices, len(self)), out)
        return self.reader.some(select_rows(indices, len(self)), out)

    def _reconstruction_on(self, device: str) -> DeviceReconstruction:
        from engine.reading.device_reconstruction import DeviceReconstruction

        self.contents.objects.check_open()
        with no_fork:
            if device not in self._on_device:
                codec = Codec(self.contents.codec_files, device)
                made = DeviceReconstruction(self.contents, codec, self._cache_bytes)
                self._on_device[device] = made
            return self._on_device[device]

    async def read_async(self, indices: Rows) -> NDArray[Any]:
        """`read`, while the event loop goes on; as many at once as there are cores."""
        import asyncio  # takes longer than opening a store

        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._callers, self.read, indices)

    def read_latents(self, indices: Rows = slice(None)) -> NDArray[np.float32]:
        """Float32 latents `(n, *latent_shape)`, dequantised: the features of the samples."""
        rows = select_rows(indices, len(self))
        return self.codec.manifest.latent.dequantise(self.read_integer_latents(rows), self.step)

    def read_integer_latents(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Latents `(n, *latent_shape)` of row numbers, as they are stored; one read a chunk."""
        return read_integer_latents(self.contents, rows)

    def close(self) -> None:
        """Let go of files and networks; reading what wasn't read yet is an error from now on."""
        self.contents.objects.close()
        self.begin_anew()

    def begin_anew(self) -> object:
        """Forget networks, threads and what is cached, as the child of a fork must; return them."""
        former = self.__dict__.pop("codec", None), self._reader, self._callers, self._on_device
        self._reader, self._callers, self._on_device = None, _callers(), {}
        return former

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


def _callers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(available_cores(), thread_name_prefix="engine-async")
