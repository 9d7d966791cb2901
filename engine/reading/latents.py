"""Integer latents as a store holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptStore
from engine.reading.pieces import Piece, cut
from engine.store.contents import StoreContents
from engine.store.plan import LATENTS


def read_integer_latents(contents: StoreContents, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Latents `(n, *latent_shape)` of row numbers in any order; one read a chunk.

    Raises:
        CorruptStore: they are damaged.
        IncompleteStore: a row was never committed.
        InvalidInput: a row was stored without latents.
    """
    array = contents.arrays[LATENTS]
    distinct, places = np.unique(rows, return_inverse=True)
    latents = np.empty((len(distinct), *array.item_shape), array.dtype)
    pieces = cut(array.grid, distinct)
    for piece in pieces:
        chunk = contents.read_chunk(LATENTS, piece.shard, piece.chunk)
        latents[piece.start : piece.stop] = chunk[piece.offsets]
    check_latents(latents, pieces, contents.objects)
    found: NDArray[Any] = latents[places]
    return found


def check_latents(latents: NDArray[Any], pieces: list[Piece], where: object) -> None:
    """Refuse latents `(n, *latent_shape)` of `pieces` that no encoder writes.

    Raises:
        CorruptStore: one is the lowest integer, which stands for padding; `where` names the store.
    """
    lowest = -1 << 8 * latents.itemsize - 1
    if latents.size == 0 or latents.min() != lowest:
        return
    place = int(np.argwhere(latents == lowest)[0, 0])
    piece = next(piece for piece in pieces if place < piece.stop)
    raise CorruptStore(
        f"{where}: chunk {piece.chunk} of shard {piece.shard} holds latents out of range"
    )
