"""Decides whether contexts are worth their model, on chunks that it wasn't fitted to."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.store.coding import CONTEXT, Coded, Coding
from engine.store.context_fit import fit_model
from engine.store.context_model import DTYPES, MOST_AXES
from engine.store.prediction import NO_PREDICTION, Prediction

_WORTH_IT = 0.97  # they decode about 30 MB/s, others ten times that
MOST_SAVED = 0.6  # of other codings: more than contexts were ever seen to save
_SMALLEST_MODEL = 500
_EVERY = 4  # chunk is one to judge by


def choose_context(chunks: Sequence[NDArray[Any]], samples: int, other: Coded) -> Coded:
    """Contexts with a fitted model if they save something, else `other`.

    Args:
        chunks: a few `(chunk_samples, *item_shape)`, spread over the data.
        samples: how many there are in all, which share the cost of the model.
        other: the smallest coding besides.
    """
    first = min(_EVERY, len(chunks)) // 2
    judged = chunks[first::_EVERY]
    fitted = [chunk for place, chunk in enumerate(chunks) if place % _EVERY != first] or chunks
    share = samples / max(1, sum(map(len, judged)))
    most = _WORTH_IT * share * _size_bytes(other, judged)
    if not _can_code(judged[0]) or MOST_SAVED * most < _SMALLEST_MODEL:
        return other
    prediction = NO_PREDICTION
    if 0 in other.prediction.differences and judged[0].dtype.kind == "i":
        prediction = Prediction(differences=(0,))
    differences = np.concatenate([prediction.to_differences(chunk) for chunk in fitted])
    model = fit_model(differences, samples * math.prod(judged[0].shape[1:]))
    coded = Coded(prediction, Coding(CONTEXT, model=model))
    size = share * _size_bytes(coded, judged) + len(json.dumps(model.to_json()))
    return coded if size < most else other


def _size_bytes(coded: Coded, chunks: Sequence[NDArray[Any]]) -> int:
    return sum(len(coded.encode(chunk)) for chunk in chunks)


def _can_code(chunk: NDArray[Any]) -> bool:
    return chunk.dtype in DTYPES and 1 <= chunk.ndim - 1 <= MOST_AXES and chunk.size > 0
