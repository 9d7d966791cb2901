"""Chunks of a store as readers share them: read through a cache, and lossless ones proved."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import google_crc32c
from numpy.typing import NDArray

from engine.errors import GuaranteeViolated
from engine.reading.chunk_cache import ChunkCache
from engine.reading.pieces import Piece
from engine.store.contents import StoreContents
from engine.store.ledger import Mode
from engine.store.plan import LATENTS, QUANTISED, RESIDUALS

RESIDUALS_OF = {Mode.RESIDUALS: RESIDUALS, Mode.QUANTISED: QUANTISED}
"""The array of residuals of the modes that have one."""


class StoredChunks:
    """The chunks of `contents`, kept in `cache`; threads may share it."""

    def __init__(self, contents: StoreContents, cache: ChunkCache) -> None:
        """Read nothing yet."""
        self._contents, self._cache = contents, cache

    def read(self, name: str, piece: Piece) -> NDArray[Any]:
        """The whole chunk `(chunk_samples, ...)` of an array that a piece lies in.

        Raises:
            CorruptStore: the object is missing or damaged.
            IncompleteStore: the shard was never committed.
        """
        where = (name, piece.shard, piece.chunk)
        return self._cache.get(where, functools.partial(self._contents.read_chunk, *where))

    def fill(self, name: str, pieces: list[Piece], values: NDArray[Any]) -> None:
        """Write the rows of pieces to their places in C-contiguous `values` `(n, ...)`.

        Raises:
            As `read`.
        """
        samples = self._contents.arrays[name].grid.chunk_samples
        straight = not self._cache.limit_bytes

        def is_whole(piece: Piece) -> bool:
            return straight and piece.stop - piece.start == samples

        for whole, group in itertools.groupby(pieces, is_whole):
            if not whole:
                for piece, chunk in self.each(name, list(group)):
                    values[piece.start : piece.stop] = chunk[piece.offsets]
                continue
            for run in _side_by_side(group):
                reader = self._contents.shard_reader(name, run[0].shard)
                reader.fill(run[0].chunk, values[run[0].start : run[-1].stop])

    def each(self, name: str, pieces: list[Piece]) -> Iterator[tuple[Piece, NDArray[Any]]]:
        """Every piece and its chunk, see `read`; while nothing is kept, in as few reads as can be.

        Raises:
            As `read`.
        """
        if self._cache.held_bytes:
            yield from ((piece, self.read(name, piece)) for piece in pieces)
            return
        for run in _side_by_side(pieces):
            shard, first = run[0].shard, run[0].chunk
            reader = self._contents.shard_reader(name, shard)
            chunks = reader.read_run(first, first + len(run))
            for piece, chunk in zip(run, chunks, strict=True):
                where = (name, shard, piece.chunk)
                yield piece, self._cache.get(where, functools.partial(_itself, chunk))

    def whole(self, piece: Piece) -> Piece:
        """All rows that the chunk of a piece holds."""
        grid = self._contents.arrays[LATENTS].grid
        held = grid.shard_size(piece.shard) - piece.chunk * grid.chunk_samples
        count = min(held, grid.chunk_samples)
        return Piece(piece.shard, piece.chunk, slice(count), 0, count)

    def check_proof(self, whole: Piece, samples: NDArray[Any], device: str) -> None:
        """Compare the samples of a whole lossless chunk, decoded on `device`, with their checksum.

        Raises:
            GuaranteeViolated: they are not those that were written.
        """
        recorded = self._contents.record(whole.shard)["samples_crc32c"][whole.chunk]
        if google_crc32c.value(samples.tobytes()) != recorded:
            raise GuaranteeViolated(
                f"{self._contents.objects}: chunk {whole.chunk} of shard {whole.shard} decodes on "
                f"{device} to other samples than were written; read it with another "
                f"device (--device cpu), or on a machine like the one that wrote it"
            )


def _side_by_side(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Cut into runs whose chunks follow each other in one shard."""
    numbered = enumerate(pieces)
    runs = itertools.groupby(numbered, lambda item: (item[1].shard, item[1].chunk - item[0]))
    return ([piece for _, piece in run] for _, run in runs)


def _itself(chunk: NDArray[Any]) -> NDArray[Any]:
    return chunk
