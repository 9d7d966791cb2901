"""FAISS: the vector quantisers of similarity search."""

from __future__ import annotations

import importlib
import time
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np

from engine.comparing.method import INDEX_BYTES, Coded, Method, Setting
from engine.comparing.peers.peer import Refused, from_floats
from engine.comparing.split_samples import SplitSamples

_CENTROIDS = 256
_FRACTIONS_OF_DIMENSIONS = (16, 8, 4, 2)
_ROTATIONS, _ROTATED = 20, 8192  # a few seconds a setting; its 50 of 65,536 vectors take minutes


class FaissQuantiser(Method):
    """A trained quantiser of vectors; its tables count as decoder."""

    package = "faiss"

    def __init__(self, name: str) -> None:
        self.name = self.identity = name

    def code(self, data: SplitSamples, setting: Setting) -> Coded:
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

    def settings(self, data: SplitSamples) -> tuple[Setting, ...]:
        """Bits a dimension."""
        return _for_vectors(data, "bits", (4, 6, 8))

    def _index(self, faiss: Any, train: np.ndarray[Any, Any], value: int) -> Any:
        index = faiss.index_factory(train.shape[1], f"SQ{value}")
        index.train(train)
        return index


class ProductQuantiser(FaissQuantiser):
    """Runs of dimensions, each by the nearest of 256 centroids."""

    def __init__(self) -> None:
        super().__init__("FAISS PQ")

    def settings(self, data: SplitSamples) -> tuple[Setting, ...]:
        """Bytes a vector."""
        width = data.sample_shape[0]
        parts = [width // part for part in _FRACTIONS_OF_DIMENSIONS if width % part == 0]
        return _for_vectors(data, "bytes", filter(None, parts))

    def _index(self, faiss: Any, train: np.ndarray[Any, Any], value: int) -> Any:
        index = _product_index(faiss, train, value)
        index.train(train)
        return index


class OptimisedProductQuantiser(ProductQuantiser):
    """The same after a rotation that balances the runs, learnt in turns with the centroids.

    Source: Ge et al., "Optimized product quantization for approximate nearest neighbor search",
    2013.
    """

    def __init__(self) -> None:
        FaissQuantiser.__init__(self, "FAISS OPQ")

    def _index(self, faiss: Any, train: np.ndarray[Any, Any], value: int) -> Any:
        product = _product_index(faiss, train, value)
        rotation = faiss.OPQMatrix(train.shape[1], value)
        rotation.niter, rotation.max_train_points = _ROTATIONS, _ROTATED
        learner = faiss.ProductQuantizer(train.shape[1], value, 8)
        learner.cp.min_points_per_centroid = 1
        rotation.pq = learner
        index = faiss.IndexPreTransform(rotation, product)
        index.train(train)
        return index


class RaBitQuantiser(FaissQuantiser):
    """A sign a dimension after a random rotation, and what makes inner products unbiased.

    Of codes of more bits FAISS decodes the signs alone, so there are none.

    Source: Gao and Long, "RaBitQ: quantizing high-dimensional vectors with a theoretical error
    bound for approximate nearest neighbor search", 2024.
    """

    def __init__(self) -> None:
        super().__init__("FAISS RaBitQ")

    def settings(self, data: SplitSamples) -> tuple[Setting, ...]:
        """Bits a dimension."""
        return _for_vectors(data, "bits", (1,))

    def _index(self, faiss: Any, train: np.ndarray[Any, Any], value: int) -> Any:
        width = train.shape[1]
        index = faiss.index_factory(width, f"RR{width},RaBitQ")
        index.train(train)
        return index


def _for_vectors(data: SplitSamples, unit: str, values: Iterable[float]) -> tuple[Setting, ...]:
    """Settings where samples are vectors, none where they aren't."""
    if len(data.sample_shape) != 1:
        return ()
    return tuple(Setting(unit, value) for value in values)


def _product_index(faiss: Any, train: np.ndarray[Any, Any], value: int) -> Any:
    if len(train) < _CENTROIDS:
        raise Refused(f"needs {_CENTROIDS} training vectors, has {len(train)}")
    index = faiss.IndexPQ(train.shape[1], value, 8)
    index.pq.cp.min_points_per_centroid = 1  # it warns on the standard error otherwise
    return index
