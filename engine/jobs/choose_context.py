"""Decides whether contexts are worth their model, on a chunk that it wasn't fitted to."""

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


def choose_context(chunks: Sequence[NDArray[Any]], samples: int, other: Coded) -> Coded:
    """Contexts with a fitted model if they save something, else `other`.

    Args:
        chunks: a few `(chunk_samples, *item_shape)`, spread over the data.
        samples: how many there are in all, which share the cost of the model.
        other: the smallest coding besides.
    """
    middle = len(chunks) // 2
    judged, fitted = chunks[middle], [*chunks[:middle], *chunks[middle + 1 :]] or chunks
    share = samples / max(1, len(judged))
    most = _WORTH_IT * share * len(other.encode(judged))
    if not _can_code(judged) or MOST_SAVED * most < _SMALLEST_MODEL:
        return other
    prediction = NO_PREDICTION
    if 0 in other.prediction.differences and judged.dtype.kind == "i":
        prediction = Prediction(differences=(0,))
    differences = np.concatenate([prediction.to_differences(chunk) for chunk in fitted])
    model = fit_model(differences, samples * math.prod(judged.shape[1:]))
    coded = Coded(prediction, Coding(CONTEXT, model=model))
    size = share * len(coded.encode(judged)) + len(json.dumps(model.to_json()))
    return coded if size < most else other


def _can_code(chunk: NDArray[Any]) -> bool:
    return chunk.dtype in DTYPES and 1 <= chunk.ndim - 1 <= MOST_AXES and chunk.size > 0
