"""The principal directions of data that needn't fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Batches = Callable[[], Iterable[Floats]]
"""Each call yields the same samples again, in batches `(rows, elements)`."""

EXACT_ELEMENTS = 2048
SKETCHED_DIRECTIONS = 512
_SKETCH_BYTES = 128 << 20
_ROUNDS = 2
_LEAST_VARIANCE = 1e-6  # of the largest


@dataclass(frozen=True)
class PrincipalDirections:
    """The Karhunen-Loeve basis of samples of `elements` elements.

    `mean` is `(elements,)`; `vectors` `(elements, directions)` are orthonormal columns by
    descending variance; `variances` is `(directions,)`.
    """

    mean: Floats
    vectors: Floats
    variances: Floats

    @property
    def relative_deviations(self) -> Floats:
        """Standard deviations `(directions,)` over their root mean square; never quite 0."""
        floored = np.maximum(self.variances, _LEAST_VARIANCE * self.variances.max())
        mean = floored.mean()
        relative: Floats = np.sqrt(floored / mean) if mean > 0 else np.ones_like(floored)
        return relative


def count_directions(elements: int) -> int:
    """How many directions are found of samples of so many elements: all, up to 2048."""
    if elements <= EXACT_ELEMENTS:
        return elements
    return max(1, min(SKETCHED_DIRECTIONS, _SKETCH_BYTES // (8 * elements)))


def count_rounds(elements: int) -> int:
    """How many times the batches are asked for."""
    return 1 if elements <= EXACT_ELEMENTS else _ROUNDS


def principal_directions(batches: Batches, elements: int) -> PrincipalDirections:
    """Find the leading directions: exactly up to 2048 elements, beyond that by a random sketch.

    Source: Halko, Martinsson and Tropp, "Finding structure with randomness", 2011, algorithm 4.4.
    """
    rounds = count_rounds(elements)
    if rounds == 1:
        mean, covariance = _covariance_times(batches, elements, None)
        return _directions(mean, np.eye(elements), covariance)
    image = np.random.default_rng(0).normal(size=(elements, count_directions(elements)))
    for _ in range(rounds):
        basis = np.linalg.qr(image).Q
        mean, image = _covariance_times(batches, elements, basis)
    return _directions(mean, basis, basis.T @ image)


def _directions(mean: Floats, basis: Floats, covariance: Floats) -> PrincipalDirections:
    """The directions within a basis `(elements, n)`, in which the covariance is `(n, n)`."""
    variances, turned = np.linalg.eigh((covariance + covariance.T) / 2)
    vectors = np.ascontiguousarray((basis @ turned)[:, ::-1])
    return PrincipalDirections(mean, vectors, variances[::-1].clip(0))


def _covariance_times(
    batches: Batches, elements: int, basis: Floats | None
) -> tuple[Floats, Floats]:
    """The mean, and the covariance `(elements, elements)` or its product with `basis`."""
    count, shift = 0, np.zeros(elements)
    total = np.zeros(elements)
    product = np.zeros((elements, elements if basis is None else basis.shape[1]))
    for batch in batches():
        # Far from zero, the squares of values would swallow their variance.
        shift = shift if count else batch.mean(axis=0)
        rows = batch - shift
        count += len(rows)
        total += rows.sum(axis=0)
        product += rows.T @ (rows if basis is None else rows @ basis)
    offset = total / count
    product /= count
    product -= np.outer(offset, offset if basis is None else offset @ basis)
    return shift + offset, product
