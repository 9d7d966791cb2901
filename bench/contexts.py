"""Contexts beside other codings of arrays under a guarantee, and JPEG XL: bits a value.

Contexts are fitted to three chunks; all are measured on others. JPEG XL sees a chunk as a mosaic.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.bounded_data import has_photographs, photograph_patches
from bench.digits import load_digits
from bench.fields import turbulent_fields
from engine.comparing.layouts import MOSAIC, lay
from engine.comparing.peers.jpeg_xl import LosslessJpegXl
from engine.jobs.choose_coding import choose_coding
from engine.jobs.choose_context import choose_context
from engine.sources import spread_rows
from engine.store.coding import Coded

_FITTED, _MEASURED, _ROUNDS = 4, 6, 3
_SAMPLES = 50_000  # of the store that would keep the model


def run() -> dict[str, Any]:
    """Code chunks of each data set in all ways; returns bits a value, sizes of models, speeds."""
    result = {}
    for name, chunks in _data_sets():
        result[name] = row = _row(chunks)
        print(f"{name:28}" + ", ".join(f"{what} {number}" for what, number in row.items()))
    return result


def _row(chunks: Sequence[NDArray[Any]]) -> dict[str, Any]:
    places = [int(place) for place in spread_rows(len(chunks), _FITTED)]
    fitted = [chunks[place] for place in places]
    rest = [chunk for place, chunk in enumerate(chunks) if place not in places]
    measured = rest[:: max(1, len(rest) // _MEASURED)][:_MEASURED]
    other = choose_coding(fitted, portable=False)
    contexts = choose_context(fitted, _SAMPLES, other)
    jpeg_xl = sum(len(_jpeg_xl(chunk)) for chunk in measured)
    values = sum(chunk.size for chunk in measured)
    model = contexts.coding.model
    return {
        "contexts": _bits(contexts, measured),
        "others": _bits(other, measured),
        "others_are": str(other),
        "jpeg_xl": round(8 * jpeg_xl / values, 3),
        "model_bytes": 0 if model is None else len(model.to_json()["model"]),
        "decoded_values_per_us": _decoded_per_us(contexts, measured),
    }


def _bits(coded: Coded, chunks: Sequence[NDArray[Any]]) -> float:
    size_bytes = sum(len(coded.encode(chunk)) for chunk in chunks)
    return round(8 * size_bytes / sum(chunk.size for chunk in chunks), 3)


def _decoded_per_us(coded: Coded, chunks: Sequence[NDArray[Any]]) -> float:
    """Values that a core decodes in a microsecond, in the best of some rounds."""
    decode = coded.for_chunks(chunks[0].shape, chunks[0].dtype).decode
    contents, best_s = [coded.encode(chunk) for chunk in chunks], math.inf
    for _ in range(_ROUNDS):
        began = time.process_time()
        for content in contents:
            decode(content, "a chunk")
        best_s = min(best_s, time.process_time() - began)
    return round(sum(chunk.size for chunk in chunks) / best_s / 1e6, 1)


def _jpeg_xl(chunk: NDArray[Any]) -> bytes:
    unsigned = chunk.astype(np.int64) - int(chunk.min())
    narrow = unsigned.astype(np.uint8 if unsigned.max() < 256 else np.uint16)
    return LosslessJpegXl().encode(lay(narrow, MOSAIC), 0)


def _data_sets() -> Iterator[tuple[str, list[NDArray[Any]]]]:
    """Chunks of each, the samples shuffled where they don't follow each other in time."""
    rng = np.random.default_rng(0)
    digits, _ = load_digits()
    digits = rng.permutation(digits)
    yield "digits, lossless", _cut(digits, 64)
    for error in (4, 7, 25):
        yield f"digits, E = {error}", _cut(_quantised(digits, 2 * error + 1), 64)
    if has_photographs():
        patches = rng.permutation(photograph_patches())
        yield "photographs, lossless", _cut(patches, 64)
        yield "photographs, E = 2", _cut(_quantised(patches, 5), 64)
    fields = turbulent_fields(512)
    for percent in (0.1, 1):
        levels = _quantised(fields, 2 * percent / 100 * float(np.ptp(fields)))
        yield f"turbulence 64x64, {percent} %", _cut(levels, 16)
        tiles = levels.reshape(-1, 4, 16, 4, 16).swapaxes(2, 3).reshape(-1, 16, 16)
        yield f"turbulence 16x16, {percent} %", _cut(tiles, 256)


def _quantised(values: NDArray[Any], step: float) -> NDArray[np.int16]:
    return np.rint(values / step).astype(np.int16)


def _cut(values: NDArray[Any], samples: int) -> list[NDArray[Any]]:
    starts = range(0, len(values) - samples + 1, samples)
    return [values[start : start + samples] for start in starts]
