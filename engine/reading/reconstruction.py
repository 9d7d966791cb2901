"""Samples from what a store keeps of them, whichever way each shard keeps them."""

from __future__ import annotations

import collections
import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.reading.chunk_cache import ChunkCache
from engine.reading.latents import check_latents
from engine.reading.pieces import Piece, cut, packed, shares
from engine.reading.stored_chunks import RESIDUALS_OF, StoredChunks
from engine.reading.workers import ALONE, Alone
from engine.runtime.buffered_networks import BufferedNetworks
from engine.runtime.codec import Codec, batches
from engine.runtime.finishing import Finisher
from engine.runtime.residuals import restore
from engine.store.contents import StoreContents
from engine.store.ledger import Mode
from engine.store.plan import LATENTS, PATCHED, PATCHES, VERBATIM

_CHUNKS_A_THREAD = 16  # that make up for waking it
_SAMPLES_A_THREAD = 64
_SAMPLES = "samples"  # beside the names of arrays: chunks that were decoded whole


class _Way(NamedTuple):
    """How the samples of a shard are kept; `base` is that of plainly quantised ones."""

    mode: Mode
    base: float
    patched: bool


class Reconstruction:
    """Turns rows of a store into samples; threads may share it."""

    def __init__(
        self,
        contents: StoreContents,
        codec: Codec,
        networks: BufferedNetworks,
        cache: ChunkCache,
        workers: Alone,
    ) -> None:
        """Read from `contents` through `cache`; `workers` do what can be done at once."""
        self._contents, self._codec, self._networks = contents, codec, networks
        self._cache, self._workers = cache, workers
        self._chunks = StoredChunks(contents, cache)
        self._grid = contents.arrays[LATENTS].grid
        self._finish = Finisher(codec.dtype)
        self._checked = contents.guarantee.kind == "lossless"
        self._ways: dict[int, _Way] = {}

    def fill(self, rows: range | NDArray[np.int64], samples: NDArray[Any]) -> None:
        """Write the samples `(n, *sample_shape)` of distinct rows, ordered within each chunk.

        Raises:
            CorruptStore: an object is missing or damaged.
            IncompleteStore: a row was never committed.
            GuaranteeViolated: this device decodes a lossless store to something else.
        """
        groups: dict[_Way, list[Piece]] = collections.defaultdict(list)
        for piece in cut(self._grid, rows):
            groups[self._way(piece.shard)].append(piece)
        for way, pieces in groups.items():
            if len(groups) == 1:
                self._fill(way, pieces, samples)
                continue
            moved = packed(pieces)
            part = np.empty((moved[-1].stop, *samples.shape[1:]), samples.dtype)
            self._fill(way, moved, part)
            for piece, there in zip(pieces, moved, strict=True):
                samples[piece.start : piece.stop] = part[there.start : there.stop]

    def one(self, row: int) -> NDArray[Any]:
        """The sample `(*sample_shape)` of one row; see `fill`."""
        shard, chunk, offset = self._grid.locate(row)
        way, pieces = self._way(shard), [Piece(shard, chunk, slice(offset, offset + 1), 0, 1)]
        samples = np.empty((1, *self._codec.sample_shape), self._codec.dtype)
        if way.mode is Mode.LATENTS and not (way.patched or self._checked):
            latents = self._chunks.read(LATENTS, pieces[0])[pieces[0].offsets]
            check_latents(latents, pieces, self._contents.objects)
            self._finish(self._networks.decode(latents), samples.reshape(1, -1))
        else:
            self._fill(way, pieces, samples)
        sample: NDArray[Any] = samples[0]
        return sample

    def _way(self, shard: int) -> _Way:
        way = self._ways.get(shard)
        if way is None:
            record = self._contents.record(shard)
            patched = self._contents.has(PATCHED, shard)
            way = _Way(self._contents.mode(shard), float(record["base"]), patched)
            self._ways[shard] = way
        return way

    def _fill(self, way: _Way, pieces: list[Piece], samples: NDArray[Any]) -> None:
        """Write samples that are all kept the same way."""
        if way.mode is Mode.VERBATIM:
            self._gather(VERBATIM, pieces, self._workers, samples)
        elif way.mode.needs_network and self._checked:
            prove = functools.partial(self._prove, way, samples)
            self._workers.each(prove, shares(pieces, self._workers.count))
        else:
            self._restore(way, pieces, self._workers, samples)

    def _restore(
        self, way: _Way, pieces: list[Piece], workers: Alone, samples: NDArray[Any]
    ) -> None:
        """Apply the reader's formula: batch by batch, the network is quickest that way."""
        count, name = len(samples), RESIDUALS_OF.get(way.mode)
        flat = samples.reshape(count, -1)
        latents = None
        if way.mode.needs_network:
            latents = self._gather(LATENTS, pieces, workers)
            check_latents(latents, pieces, self._contents.objects)
        residuals = None if name is None else self._gather(name, pieces, workers).reshape(count, -1)
        steps = None if name is None else self._residual_steps(pieces)

        def restore_batch(batch: tuple[int, int]) -> None:
            rows = slice(*batch)
            y = (
                np.full((1, 1), way.base)
                if latents is None
                else self._networks.decode(latents[rows])
            )
            if residuals is None or steps is None:
                self._finish(y, flat[rows])
            else:
                flat[rows] = restore(y, residuals[rows], steps[rows], flat.dtype)

        share = max(_SAMPLES_A_THREAD, -(-count // workers.count))
        size = min(share, self._networks.batch_samples)
        workers.each(restore_batch, list(batches(count, size)))
        if way.patched:
            workers.each(functools.partial(self._patch, samples), shares(pieces, workers.count))

    def _residual_steps(self, pieces: list[Piece]) -> NDArray[np.float64]:
        """What one unit of the residuals `(n,)` of each row stands for."""
        steps = [self._contents.record(piece.shard)["residual_step"] for piece in pieces]
        return np.repeat(steps, [piece.stop - piece.start for piece in pieces])

    def _patch(self, samples: NDArray[Any], pieces: list[Piece]) -> None:
        """Put the elements in place that no formula holds."""
        patched, patches = (self._chunks.each(name, pieces) for name in (PATCHED, PATCHES))
        for (piece, marks), (_, values) in zip(patched, patches, strict=True):
            mask = marks[piece.offsets].astype(np.bool_)
            samples[piece.start : piece.stop][mask] = values[piece.offsets][mask]

    def _prove(self, way: _Way, samples: NDArray[Any], pieces: list[Piece]) -> None:
        """Samples of lossless chunks, decoded whole so that their checksums can be compared."""
        for piece in pieces:
            chunk = self._cache.get(
                (_SAMPLES, piece.shard, piece.chunk),
                functools.partial(self._proved_chunk, way, piece),
            )
            samples[piece.start : piece.stop] = chunk[piece.offsets]

    def _proved_chunk(self, way: _Way, piece: Piece) -> NDArray[Any]:
        whole = self._chunks.whole(piece)
        chunk = np.empty((whole.stop, *self._codec.sample_shape), self._codec.dtype)
        self._restore(way, [whole], ALONE, chunk)
        self._chunks.check_proof(whole, chunk, self._codec.device)
        return chunk

    def _gather(
        self,
        name: str,
        pieces: list[Piece],
        workers: Alone,
        values: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Rows `(n, ...)` of an array, each chunk read once; `values`, if given, are filled."""
        array = self._contents.arrays[name]
        if values is None:
            values = np.empty((pieces[-1].stop, *array.item_shape), array.dtype)

        def read(share: list[Piece]) -> None:
            self._chunks.fill(name, share, values)

        threads = min(workers.count, len(pieces) // _CHUNKS_A_THREAD)
        workers.each(read, shares(pieces, max(1, threads)))
        return values
