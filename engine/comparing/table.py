"""A comparison as lines of text, for the terminal and the page."""

from __future__ import annotations

import math
from collections.abc import Iterator

from engine.comparing.comparison import Comparison
from engine.comparing.point import Point

_COLUMNS = (
    "codec", "setting", "layout", "bytes", "payload", "decoder", "ratio", "PSNR dB",
    "max error", "encodes/s", "decodes/s",
)  # fmt: skip
_VECTOR_COLUMNS = ("cosine", "inner product", "recall@10")


def introduction(comparison: Comparison) -> str:
    """What was measured on what."""
    facts = comparison.facts
    return (
        f"{facts.samples} samples {facts.sample_shape} {facts.dtype}, {facts.sample_bytes} bytes "
        f"each. Measured on {facts.test_samples} that were held out, in chunks of "
        f"{facts.chunk_samples}; learnt from {facts.train_samples} others. Bytes are those "
        f"of a sample, everything counted, decoders shared by {facts.for_samples} samples. "
        f"Speeds are of one thread."
    )


def heading(comparison: Comparison) -> tuple[str, ...]:
    """Names of the columns."""
    return _COLUMNS + (_VECTOR_COLUMNS if _has_vectors(comparison) else ())


def rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """One line of cells a point, in the order of measuring.

    `bytes` counts everything, the decoder shared by `for_samples`; `payload` is what one
    more sample adds, `decoder` the bytes that are shared.
    """
    for point in comparison.points:
        vector = _vector_cells(point) if _has_vectors(comparison) else ()
        yield (*_cells(point, comparison), *vector)


def refusal_lines(comparison: Comparison) -> list[str]:
    """What codecs refused, each reason once; of one that took nothing at all, no settings."""
    measured = {point.method for point in comparison.points}
    reasons: dict[tuple[str, str], list[str]] = {}
    for refusal in comparison.refusals:
        reasons.setdefault((refusal.method, refusal.reason), []).append(refusal.setting)
    return [
        f"{method} refuses {', '.join(settings)}: {reason}"
        if method in measured
        else f"{method} is left out: {reason}"
        for (method, reason), settings in reasons.items()
    ]


def _cells(point: Point, comparison: Comparison) -> tuple[str, ...]:
    size = point.sample_bytes(comparison.facts.for_samples)
    broken = "" if point.bound is None or point.keeps_bound else " BOUND VIOLATED"
    return (
        point.method,
        point.setting,
        point.layout,
        f"{size:.2f}",
        f"{point.payload_sample_bytes:.2f}",
        f"{point.decoder_bytes + point.metadata_bytes:,}",
        f"{comparison.facts.sample_bytes / size:.2f}",
        "exact" if point.psnr_db == math.inf else f"{point.psnr_db:.2f}",
        f"{point.max_abs_error:.4g}{broken}",
        f"{point.encode_samples_per_s:,.0f}",
        f"{point.decode_samples_per_s:,.0f}",
    )


def _has_vectors(comparison: Comparison) -> bool:
    return any(point.recall_at_10 is not None for point in comparison.points)


def _vector_cells(point: Point) -> tuple[str, ...]:
    values = (point.cosine_similarity, point.inner_product_error, point.recall_at_10)
    return tuple("" if value is None else f"{value:.4f}" for value in values)
