"""How near decoded samples are to the originals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.quality import peak_value, psnr_db

NEIGHBOURS = 10
_QUERIES = 256

Array = NDArray[Any]


@dataclass(frozen=True)
class Fidelity:
    """Errors over all samples, in the samples' units.

    `psnr_db` is infinite where every bit is kept; its peak is the dtype's range for uint8 and
    uint16, else that of the originals. Of vectors, None of others: `cosine_similarity`, the mean
    over samples; `inner_product_error`, the mean absolute error of inner products of an original
    with the decoded others, as a fraction of the mean product of their norms; `recall_at_10`, how
    many of an original's ten nearest others by cosine are found among the decoded ones.
    """

    psnr_db: float
    max_abs_error: float
    cosine_similarity: float | None = None
    inner_product_error: float | None = None
    recall_at_10: float | None = None


def measure_fidelity(
    original: Array, decoded: Array, fill_values: Iterable[float] = ()
) -> Fidelity:
    """Compare samples `(n, *sample_shape)` of one dtype; NaN counts only where one side has it.

    Fill values don't widen the range that the peak of floats is.
    """
    difference = _differences(original, decoded)
    with np.errstate(over="ignore"):
        mse = float(np.square(difference).mean())
    finite = original[np.isfinite(original)]
    for value in fill_values:
        finite = finite[finite != value]
    finite = finite.astype(np.float64)
    peak = peak_value(original.dtype, *(finite.min(), finite.max())) if finite.size else 0.0
    vectors = _compare_vectors(original, decoded) if are_vectors(original) else ()
    return Fidelity(
        psnr_db(mse, float(peak)) if mse < np.inf else -np.inf,
        float(difference.max(initial=0)),
        *vectors,
    )


def are_vectors(samples: Array) -> bool:
    """Whether samples have directions to compare: floats of one axis; integers are signals."""
    return samples.ndim == 2 and samples.shape[1] > 1 and samples.dtype.kind == "f"


def max_abs_error(original: Array, decoded: Array) -> float:
    """Largest absolute difference; infinite where only one of two elements is NaN."""
    return float(_differences(original, decoded).max(initial=0))


def _differences(original: Array, decoded: Array) -> NDArray[np.float64]:
    """Absolute ones: 0 where both are NaN or the same infinity, infinite where one side is."""
    with np.errstate(all="ignore"):
        differences = np.abs(decoded.astype(np.float64) - original.astype(np.float64))
    unknown = np.isnan(differences)
    if unknown.any():
        alike = (original == decoded) | (np.isnan(original) & np.isnan(decoded))
        differences[unknown] = np.where(alike[unknown], 0, np.inf)
    return differences


def _compare_vectors(original: Array, decoded: Array) -> tuple[float, float, float] | tuple[()]:
    if len(original) <= NEIGHBOURS or not (np.isfinite(original) & np.isfinite(decoded)).all():
        return ()
    original, decoded = original.astype(np.float64), decoded.astype(np.float64)
    norms, decoded_norms = _norms(original), _norms(decoded)
    cosine = (original * decoded).sum(axis=1) / (norms * decoded_norms)
    rows = np.linspace(0, len(original) - 1, min(_QUERIES, len(original))).round().astype(int)
    queries = original[rows]
    errors = np.abs(queries @ (decoded - original).T).mean() / (norms[rows].mean() * norms.mean())
    wanted = _nearest(queries, original / norms[:, None], rows)
    found = _nearest(queries, decoded / decoded_norms[:, None], rows)
    hits = [len(np.intersect1d(a, b)) for a, b in zip(wanted, found, strict=True)]
    return float(cosine.mean()), float(errors), float(np.mean(hits) / NEIGHBOURS)


def _norms(vectors: Array) -> Array:
    norms: Array = np.linalg.norm(vectors, axis=1)
    return np.maximum(norms, np.finfo(np.float64).tiny)


def _nearest(queries: Array, base: Array, rows: Array) -> Array:
    """Rows of `base` with the largest inner products, but for the query's own."""
    scores = queries @ base.T
    scores[np.arange(len(rows)), rows] = -np.inf
    nearest: Array = np.argpartition(-scores, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    return nearest
