"""Samples from what a store keeps of them, whichever way each shard keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from cuda_kernels.error_statistics.reference import finish
from engine.errors import GuaranteeViolated
from engine.runtime.codec import Codec
from engine.runtime.residuals import restore
from engine.store.contents import StoreContents
from engine.store.ledger import Mode
from engine.store.plan import LATENTS, PATCHED, PATCHES, QUANTISED, RESIDUALS, VERBATIM


@dataclass(frozen=True)
class _Piece:
    """Rows of one chunk, and where they go."""

    shard: int
    chunk: int
    offsets: NDArray[np.int64]
    positions: NDArray[np.int64]


class Reconstruction:
    """Turns rows of a store into samples; the codec decodes the latents of all rows at once."""

    def __init__(self, contents: StoreContents, codec: Codec, step: float) -> None:
        """Read from `contents` with a codec that is on the device to use."""
        self._contents, self._codec, self._step = contents, codec, step
        self._checked = contents.guarantee.kind == "lossless"

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Samples `(n, *sample_shape)` of row numbers, each read once a call.

        Raises:
            CorruptStore: an object is missing or damaged.
            IncompleteStore: a row was never committed.
            GuaranteeViolated: this device decodes a lossless store to something else.
        """
        samples = np.empty((len(rows), *self._codec.sample_shape), self._codec.dtype)
        decoded: list[_Piece] = []
        grid = self._contents.arrays[LATENTS].grid
        for piece in (_Piece(*found) for found in grid.group_by_chunk(rows)):
            mode = self._contents.mode(piece.shard)
            if mode is Mode.VERBATIM:
                samples[piece.positions] = self._read(VERBATIM, piece)
            elif mode is Mode.QUANTISED:
                samples[piece.positions] = self._restored(piece, None)
            elif self._checked:
                samples[piece.positions] = self._proved_chunk(piece)
            else:
                decoded.append(piece)
        if decoded:
            self._decode(decoded, samples)
        return samples

    def _decode(self, pieces: list[_Piece], samples: NDArray[Any]) -> None:
        """Decode the latents of all pieces together: the network is quickest that way."""
        latents = np.concatenate([self._read(LATENTS, piece) for piece in pieces])
        reconstruction = self._codec.reconstruct(latents, self._step)
        start = 0
        for piece in pieces:
            stop = start + len(piece.positions)
            samples[piece.positions] = self._restored(piece, reconstruction[start:stop])
            start = stop

    def _restored(self, piece: _Piece, reconstruction: NDArray[Any] | None) -> NDArray[Any]:
        """The reader's formula; without a reconstruction residuals are those of a constant."""
        n, dtype = len(piece.positions), self._codec.dtype
        if reconstruction is not None and not self._contents.has(RESIDUALS, piece.shard):
            flat = finish(reconstruction.reshape(n, -1), dtype)
        else:
            record = self._contents.record(piece.shard)
            name = QUANTISED if reconstruction is None else RESIDUALS
            residuals = np.ascontiguousarray(self._read(name, piece).reshape(n, -1))
            constant = np.full((1, 1), record["base"])
            y = constant if reconstruction is None else reconstruction.reshape(n, -1)
            flat = restore(y, residuals, np.full(n, record["residual_step"]), dtype)
        samples = flat.reshape(n, *self._codec.sample_shape)
        if self._contents.has(PATCHED, piece.shard):
            mask = self._read(PATCHED, piece).astype(np.bool_)
            samples[mask] = self._read(PATCHES, piece)[mask]
        return samples

    def _proved_chunk(self, piece: _Piece) -> NDArray[Any]:
        """Rows of a lossless chunk, decoded whole so that its checksum can be compared."""
        grid = self._contents.arrays[LATENTS].grid
        held = grid.shard_size(piece.shard) - piece.chunk * grid.chunk_samples
        whole = np.arange(min(held, grid.chunk_samples))
        everything = _Piece(piece.shard, piece.chunk, whole, whole)
        latents = self._read(LATENTS, everything)
        chunk = self._restored(everything, self._codec.reconstruct(latents, self._step))
        recorded = self._contents.record(piece.shard)["samples_crc32c"][piece.chunk]
        if google_crc32c.value(chunk.tobytes()) != recorded:
            raise GuaranteeViolated(
                f"{self._contents.objects}: chunk {piece.chunk} of shard {piece.shard} decodes on "
                f"{self._codec.device} to other samples than were written; read it with another "
                f"device (--device cpu), or on a machine like the one that wrote it"
            )
        return chunk[piece.offsets]

    def _read(self, name: str, piece: _Piece) -> NDArray[Any]:
        return self._contents.read_rows(name, piece.shard, piece.chunk, piece.offsets)
