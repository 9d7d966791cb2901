"""FAISS: the vector quantisers of similarity search."""

from __future__ import annotations

import importlib
import time
from abc import abstractmethod
from typing import Any

import numpy as np

from engine.comparing.held_out import HeldOut
from engine.comparing.method import INDEX_BYTES, Coded, Method, Setting
from engine.comparing.peers.peer import Refused, from_floats

_CENTROIDS = 256
_FRACTIONS_OF_DIMENSIONS = (16, 8, 4, 2)


class FaissQuantiser(Method):
    """A trained quantiser of vectors; its tables count as decoder."""

    package = "faiss"

    def __init__(self, name: str) -> None:
        self.name = self.identity = name

    def code(self, data: HeldOut, setting: Setting) -> Coded:
        """Train on the training samples, encode and decode the others."""
        faiss = importlib.import_module(self.package)
        faiss.omp_set_num_threads(1)
        train, test = (np.ascontiguousarray(x, np.float32) for x in (data.train, data.test))
        index = self._index(faiss, train, int(setting.value))
        began = time.perf_counter()
        codes = index.sa_encode(test)
        encoded_at = time.perf_counter()
        decoded = from_floats(index.sa_decode(codes), data.test.dtype)
        ended = time.perf_counter()
        return Coded(
            decoded,
            "vectors",
            payload_bytes=codes.nbytes + INDEX_BYTES * len(data.chunks),
            decoder_bytes=len(faiss.serialize_index(index)),
            encode_s=encoded_at - began,
            decode_s=ended - encoded_at,
        )

    @abstractmethod
    def _index(self, faiss: Any, train: np.ndarray[Any, Any], value: int) -> Any:
        """A trained index without vectors."""


class ScalarQuantiser(FaissQuantiser):
    """Every dimension on its own, in 4, 6 or 8 bits between its extremes."""

    def __init__(self) -> None:
        super().__init__("FAISS SQ")

    def settings(self, data: HeldOut) -> tuple[Setting, ...]:
        """Bits a dimension."""
        if len(data.sample_shape) != 1:
            return ()
        return tuple(Setting("bits", bits) for bits in (4, 6, 8))

    def _index(self, faiss: Any, train: np.ndarray[Any, Any], value: int) -> Any:
        index = faiss.index_factory(train.shape[1], f"SQ{value}")
        index.train(train)
        return index


class ProductQuantiser(FaissQuantiser):
    """Runs of dimensions, each by the nearest of 256 centroids."""

    def __init__(self) -> None:
        super().__init__("FAISS PQ")

    def settings(self, data: HeldOut) -> tuple[Setting, ...]:
        """Bytes a vector."""
        if len(data.sample_shape) != 1:
            return ()
        (width,) = data.sample_shape
        parts = [width // part for part in _FRACTIONS_OF_DIMENSIONS if width % part == 0]
        return tuple(Setting("bytes", count) for count in parts if count)

    def _index(self, faiss: Any, train: np.ndarray[Any, Any], value: int) -> Any:
        if len(train) < _CENTROIDS:
            raise Refused(f"needs {_CENTROIDS} training vectors, has {len(train)}")
        index = faiss.IndexPQ(train.shape[1], value, 8)
        index.pq.cp.min_points_per_centroid = 1  # it warns on the standard error otherwise
        index.train(train)
        return index
