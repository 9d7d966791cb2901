"""Chooses how latents are coded, by trying it on a few of their chunks."""

from __future__ import annotations

import dataclasses
import itertools
import json
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.store.coding import LATENT_CODING, RANS, Coding
from engine.store.rans_fit import fit_tables
from engine.store.rans_tables import MOST_STATES, MOST_TABLES

_WORTH_IT = 0.97  # zstd decodes four times as fast, and every Zarr library has it
_STATE_BYTES, _STATE_SHARE = 3, 0.01  # what a state costs a chunk, and all of them may cost it


def choose_latent_coding(chunks: Sequence[NDArray[Any]], samples: int) -> Coding:
    """The entropy coder with fitted tables if they save something, else zstd.

    Args:
        chunks: a few `(chunk_samples, *latent_shape)` of int8 or int16, spread over the data.
        samples: how many there are in all, which share the cost of the tables.

    Tables are judged by chunks that they were not fitted to, and then fitted to all.
    """
    judged, fitted = chunks[::2], chunks[1::2] or chunks
    share = samples / sum(map(len, judged))
    best, smallest = LATENT_CODING, _WORTH_IT * share * _size_bytes(LATENT_CODING, judged)
    for count in _table_counts(chunks[0].shape[1:]):
        tables = fit_tables(np.concatenate(fitted), count)
        states = _states(_size_bytes(Coding(RANS, tables=tables), judged) / len(judged))
        coding = Coding(RANS, tables=dataclasses.replace(tables, states=states))
        size = share * _size_bytes(coding, judged) + _metadata_bytes(coding)
        if size < smallest:
            tables = dataclasses.replace(fit_tables(np.concatenate(chunks), count), states=states)
            best, smallest = Coding(RANS, tables=tables), size
    return best


def _states(chunk_bytes: float) -> int:
    """How many states take turns: the more, the quicker, but small chunks can't afford many."""
    states = MOST_STATES
    while states > 1 and states * _STATE_BYTES > _STATE_SHARE * chunk_bytes:
        states //= 2
    return states


def _table_counts(item_shape: tuple[int, ...]) -> Iterator[int]:
    """One table for all, one per channel, per row of a channel and so on."""
    counts = itertools.accumulate((1, *item_shape), operator.mul)
    yield from sorted({count for count in counts if count <= MOST_TABLES})


def _size_bytes(coding: Coding, chunks: Sequence[NDArray[Any]]) -> int:
    return sum(len(coding.encode(chunk)) for chunk in chunks)


def _metadata_bytes(coding: Coding) -> int:
    return len(json.dumps(coding.codecs(1, np.dtype(np.int16))))
