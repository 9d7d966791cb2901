"""Samples from what a store keeps of them, in memory of the device that decodes them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.reading.certification import store_certificate
from engine.reading.chunk_cache import ChunkCache
from engine.reading.latents import check_latents
from engine.reading.pieces import Piece, blocks, cut, packed
from engine.reading.stored_chunks import RESIDUALS_OF, StoredChunks
from engine.runtime.codec import Codec
from engine.runtime.device_reader import DeviceReader, StoredRows
from engine.store.contents import StoreContents
from engine.store.ledger import Mode
from engine.store.plan import LATENTS, PATCHED, PATCHES, VERBATIM

if TYPE_CHECKING:
    from cuda_kernels.lane import Tensor


class DeviceReconstruction:
    """Decodes rows of a store into tensors of a device; threads may share it.

    Latents, residuals and patches go up; samples never come down, but those of lossless stores that
    lean on the network: their checksums are compared on the host.
    """

    def __init__(self, contents: StoreContents, codec: Codec, cache_bytes: int) -> None:
        """Decode on the device of `codec`; `cache_bytes` are kept of what is decompressed.

        Raises:
            CorruptStore: the guarantee has no certificate, or a damaged one.
            DeviceUnavailable: torch or Triton is missing, or sees no GPU.
        """
        self._contents, self._codec = contents, codec
        self._grid = contents.arrays[LATENTS].grid
        self._checked = contents.guarantee.kind == "lossless"
        certificate = store_certificate(contents)
        step = float(contents.attributes["step"])
        self._device = DeviceReader(codec, step, certificate=certificate)
        self._chunks = StoredChunks(contents, ChunkCache(cache_bytes))

    def __call__(self, rows: NDArray[np.int64]) -> Tensor:
        """Samples `(n, *sample_shape)` of rows in any order, each decoded once.

        A tensor of torch, and so of any library that knows DLPack.

        Raises:
            CorruptStore: an object is missing or damaged.
            IncompleteStore: a row was never committed.
            GuaranteeViolated: this device doesn't decode as the store's guarantee needs it.
            DeviceUnavailable: the device has too little memory, or fails.
        """
        distinct, places = np.unique(rows, return_inverse=True)
        samples = self._device.empty(len(distinct))
        for start, stop in blocks(distinct, self._codec.batch_samples):
            self._fill(distinct[start:stop], samples[start:stop])
        return samples if np.array_equal(distinct, rows) else self._device.take(samples, places)

    def _fill(self, rows: NDArray[np.int64], samples: Tensor) -> None:
        """Write the samples of distinct rows in ascending order."""
        for mode, run in self._runs(rows):
            out, pieces = samples[run[0].start : run[-1].stop], packed(run)
            if mode is Mode.VERBATIM:
                self._device.copy(self._gather(VERBATIM, pieces), out)
            elif mode.needs_network and self._checked:
                for piece in pieces:
                    self._prove(mode, piece, out[piece.start : piece.stop])
            else:
                self._restore(mode, pieces, out)

    def _runs(self, rows: NDArray[np.int64]) -> Iterator[tuple[Mode, list[Piece]]]:
        """Pieces of neighbouring shards that are kept the same way."""

        def way(piece: Piece) -> tuple[Mode, float, bool]:
            shard, contents = piece.shard, self._contents
            base = float(contents.record(shard)["base"])
            return contents.mode(shard), base, contents.has(PATCHED, shard)

        for (mode, _, _), pieces in itertools.groupby(cut(self._grid, rows), way):
            yield mode, list(pieces)

    def _restore(self, mode: Mode, pieces: list[Piece], out: Tensor) -> None:
        """Apply the reader's formula, then put in place what no formula holds."""
        latents, residuals, steps = None, None, None
        records = [self._contents.record(piece.shard) for piece in pieces]
        if mode.needs_network:
            latents = self._gather(LATENTS, pieces)
            check_latents(latents, pieces, str(self._contents.objects))
        if mode in RESIDUALS_OF:
            residuals = self._gather(RESIDUALS_OF[mode], pieces).reshape(len(out), -1)
            counts = [piece.stop - piece.start for piece in pieces]
            steps = np.repeat([float(record["residual_step"]) for record in records], counts)
        stored = StoredRows(latents, residuals, steps, float(records[0]["base"]))
        self._device.decode(stored, out)
        if self._contents.has(PATCHED, pieces[0].shard):
            mask = self._gather(PATCHED, pieces).astype(np.bool_)
            self._device.patch(np.flatnonzero(mask), self._gather(PATCHES, pieces)[mask], out)

    def _prove(self, mode: Mode, piece: Piece, out: Tensor) -> None:
        """Write rows of a lossless chunk, decoded whole so that its checksum can be compared."""
        whole = self._chunks.whole(piece)
        chunk = self._device.empty(whole.stop)
        self._restore(mode, [whole], chunk)
        self._chunks.check_proof(whole, self._device.to_host(chunk), self._codec.device)
        self._device.take(chunk, np.arange(whole.stop)[piece.offsets], out)

    def _gather(self, name: str, pieces: list[Piece]) -> NDArray[Any]:
        """Rows `(n, ...)` of an array, each chunk read once."""
        array = self._contents.arrays[name]
        values = np.empty((pieces[-1].stop, *array.item_shape), array.dtype)
        self._chunks.fill(name, pieces, values)
        return values
