"""Decompressed chunks, kept while they fit: those that were asked for last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from numpy.typing import NDArray

DEFAULT_CACHE_BYTES = 64 << 20
"""What the chunks that an open store keeps may take unless said otherwise: 64 MiB."""


class ChunkCache:
    """Arrays by key, the latest ones, `limit_bytes` at most; threads may share it."""

    def __init__(self, limit_bytes: int) -> None:
        """Keep nothing yet; with a limit of 0 never anything."""
        self.limit_bytes = limit_bytes
        self._chunks: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()
        self.held_bytes = 0

    def get(self, key: Hashable, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """What is kept as `key`, or else what `make` makes; it must not be changed.

        Threads that miss the same key at once each make it: none waits for another one.
        """
        with self._lock:
            found = self._chunks.get(key)
            if found is not None:
                self._chunks.move_to_end(key)
                return found
        made = make()
        if made.nbytes <= self.limit_bytes:
            self._keep(key, made)
        return made

    def _keep(self, key: Hashable, chunk: NDArray[Any]) -> None:
        with self._lock:
            if key in self._chunks:
                return
            self._chunks[key] = chunk
            self.held_bytes += chunk.nbytes
            while self.held_bytes > self.limit_bytes:
                _, oldest = self._chunks.popitem(last=False)
                self.held_bytes -= oldest.nbytes
