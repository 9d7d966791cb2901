"""What an open store reads with: networks, threads and a cache, none of which survives a fork."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidInput
from engine.reading.certification import certify_store
from engine.reading.chunk_cache import ChunkCache
from engine.reading.pieces import blocks
from engine.reading.reconstruction import Reconstruction
from engine.reading.room import checked_room
from engine.reading.workers import ALONE, Workers
from engine.runtime.buffered_networks import BufferedNetworks
from engine.runtime.codec import Codec
from engine.runtime.device import available_cores
from engine.runtime.layout_trials import Layout
from engine.runtime.tuning import known_tuning
from engine.store.contents import StoreContents

_BLOCK_BYTES = 4 * 1024 * 1024
_BLOCK_SAMPLES = 65536
_CUDA_CALLERS = 2  # one reads while the device works for the other


class Reader:
    """Decodes rows of a store; threads may share it."""

    def __init__(
        self,
        contents: StoreContents,
        codec: Codec,
        cache_bytes: int,
        layout: Layout | None = None,
    ) -> None:
        """Get ready to decode; networks are loaded when a sample needs them.

        `cache_bytes` are kept of what random reads decompress. `layout` says how the machine is
        shared out; by default as it was measured for this codec.

        Raises:
            GuaranteeViolated: this device doesn't decode as the store's guarantee needs it.
        """
        layout = layout or _known_layout(codec) or default_layout(codec)
        running = codec.on(codec.device, layout.threads_per_run)
        certify_store(contents, running)
        self._contents, self._codec = contents, codec
        networks = BufferedNetworks(running, contents.attributes["step"], layout.batch_samples)
        self.block_samples = _block_samples(contents, layout.batch_samples)
        self._workers = Workers(layout.callers)
        parts = (contents, running, networks)
        self._at_random = Reconstruction(*parts, ChunkCache(cache_bytes), self._workers)
        # Reading everything would drive out of a cache what is asked for again.
        self._in_bulk = Reconstruction(*parts, ChunkCache(0), ALONE)

    def one(self, row: int) -> NDArray[Any]:
        """The sample `(*sample_shape)` of a row."""
        return self._at_random.one(row)

    def some(self, rows: NDArray[np.int64], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Samples `(n, *sample_shape)` of rows in any order, each decoded once; `out`, if given."""
        samples = self._room(len(rows), out)
        distinct, places = np.unique(rows, return_inverse=True)
        if len(distinct) <= self.block_samples:
            _fill(self._at_random, rows, distinct, places, samples)
            return samples
        order = np.argsort(places, kind="stable")
        sorted_places = places[order]

        def decode(block: tuple[int, int]) -> None:
            start, stop = np.searchsorted(sorted_places, block)
            where = order[start:stop]
            part = np.empty((len(where), *samples.shape[1:]), samples.dtype)
            within = places[where] - block[0]
            _fill(self._in_bulk, rows[where], distinct[slice(*block)], within, part)
            samples[where] = part

        self._workers.each(decode, blocks(distinct, self.block_samples))
        return samples

    def run(self, rows: range, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Samples `(n, *sample_shape)` of a slice, decoded straight into the result, or `out`."""
        if len(rows) <= self.block_samples:
            return self.some(np.asarray(rows, np.int64), out)
        samples = self._room(len(rows), out)

        def decode(block: tuple[int, int]) -> None:
            self._decode(rows[slice(*block)], samples[slice(*block)])

        self._workers.each(decode, blocks(rows, self.block_samples))
        return samples

    def in_blocks(self, rows: range | NDArray[np.int64]) -> Generator[NDArray[Any], None, None]:
        """Samples of `rows` block by block; a block is overwritten once the next one is asked for.

        Blocks are decoded ahead, in so many buffers as there are threads and two more.
        """
        free: queue.SimpleQueue[NDArray[Any]] = queue.SimpleQueue()
        for _ in range(self._workers.count + 2):
            free.put(self.unfilled(min(self.block_samples, len(rows))))

        def decode(block: tuple[int, int]) -> tuple[NDArray[Any], int]:
            buffer, wanted = free.get(), rows[slice(*block)]
            self._decode(wanted, buffer[: len(wanted)])
            return buffer, len(wanted)

        todo = blocks(rows, self.block_samples)
        with contextlib.closing(self._workers.in_order(decode, todo)) as decoded:
            for buffer, count in decoded:
                yield buffer[:count]
                free.put(buffer)

    def _decode(self, rows: range | NDArray[np.int64], samples: NDArray[Any]) -> None:
        """Decode one of many blocks."""
        if isinstance(rows, range) and rows.step > 0:
            self._in_bulk.fill(rows, samples)
        else:
            numbers = np.asarray(rows)
            _fill(self._in_bulk, numbers, *np.unique(numbers, return_inverse=True), samples)

    def _room(self, count: int, out: NDArray[Any] | None) -> NDArray[Any]:
        """Memory for so many samples: the caller's, if there is some."""
        if out is None:
            return self.unfilled(count)
        return checked_room(out, (count, *self._codec.sample_shape), self._codec.dtype)

    def unfilled(self, count: int) -> NDArray[Any]:
        """Memory for so many samples."""
        shape, dtype = self._codec.sample_shape, self._codec.dtype
        try:
            return np.empty((count, *shape), dtype)
        except (MemoryError, ValueError):
            raise InvalidInput(
                f"{self._contents.objects}: {count} samples of {shape} {dtype} don't fit into "
                f"memory; read fewer at a time"
            ) from None


def _known_layout(codec: Codec) -> Layout | None:
    """What was measured of this codec here, by a job or by `engine info`."""
    known = known_tuning(codec)
    return None if known is None else known.read_layout


def default_layout(codec: Codec) -> Layout:
    """One thread a run and as many runs as cores, unless samples are too large for batches."""
    if codec.device == "cuda":
        return Layout(codec.batch_samples, _CUDA_CALLERS, 0)
    cores = available_cores()
    if codec.batch_samples < cores:
        return Layout(codec.batch_samples, 1, cores)
    return Layout(max(1, min(codec.batch_samples, codec.largest_batch // cores)), cores, 1)


def _block_samples(contents: StoreContents, batch_samples: int) -> int:
    """Samples to decode at once: little to hold in memory, and whole chunks if they fit."""
    sample_bytes = contents.dtype.itemsize * int(np.prod(contents.sample_shape))
    fitting = max(batch_samples, min(_BLOCK_BYTES // sample_bytes, _BLOCK_SAMPLES))
    chunk = contents.part.chunk_samples
    return fitting // chunk * chunk or fitting


def _fill(
    reconstruction: Reconstruction,
    rows: NDArray[np.int64],
    distinct: NDArray[np.int64],
    places: NDArray[np.int64],
    samples: NDArray[Any],
) -> None:
    """Decode the `distinct` rows and put each to all its `places` among `rows`."""
    if np.array_equal(rows, distinct):
        reconstruction.fill(rows, samples)
        return
    decoded = np.empty((len(distinct), *samples.shape[1:]), samples.dtype)
    reconstruction.fill(distinct, decoded)
    np.take(decoded, places, axis=0, out=samples, mode="clip")
