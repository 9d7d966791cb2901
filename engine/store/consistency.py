"""What must agree between the head, the arrays and the ledger of a store.

A digest proves that bytes are those that were written, not that whoever wrote them meant well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_kernels.residuals.step import STEP_BITS
from engine.errors import CorruptStore
from engine.store.arrays import ShardedArray
from engine.store.head import Part
from engine.store.ledger import Mode
from engine.store.plan import (
    LATENTS,
    PATCHED,
    PATCHES,
    QUALITY,
    QUALITY_COLUMNS,
    QUANTISED,
    RESIDUALS,
    SIDECARS,
    VERBATIM,
)

_KEEPS = {
    Mode.LATENTS: LATENTS,
    Mode.RESIDUALS: RESIDUALS,
    Mode.QUANTISED: QUANTISED,
    Mode.VERBATIM: VERBATIM,
}
_DTYPES = {LATENTS: "i1 i2", QUALITY: "u1", RESIDUALS: "i2", QUANTISED: "i1 i2 i4", PATCHED: "u1"}


def check_array(
    array: ShardedArray, part: Part, sample_shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    """Refuse an array that a part of such samples doesn't have.

    Raises:
        ValueError: another name, shape, dtype, fill value or size of shards or chunks.
    """
    name, by_shard = array.name, array.name == QUALITY or array.name.startswith(f"{SIDECARS}/")
    chunk_samples = part.shard_samples if by_shard else part.chunk_samples
    found = (array.grid.samples, array.grid.shard_samples, array.grid.chunk_samples)
    if found != (part.samples, part.shard_samples, chunk_samples):
        raise ValueError(f"{array.grid} in a part of {part.samples} samples")
    if name.startswith(f"{SIDECARS}/") and name.count("/") == 1:
        return
    dtypes = {VERBATIM: dtype.str[1:], PATCHES: dtype.str[1:]} | _DTYPES
    shapes = {LATENTS: array.item_shape, QUALITY: (len(QUALITY_COLUMNS),)}
    if array.dtype.str[1:] not in dtypes.get(name, "").split():
        raise ValueError(f"{name} of {array.dtype}")
    if array.item_shape != shapes.get(name, sample_shape):
        raise ValueError(f"{name} of shape {array.item_shape}")
    fill_values = {LATENTS: np.iinfo(array.dtype).min if name == LATENTS else 0, QUALITY: 255}
    if array.fill_value != fill_values.get(name, 0):
        raise ValueError(f"{name} with fill value {array.fill_value}")


def check_ledger(
    ledger: NDArray[Any],
    arrays: Mapping[str, ShardedArray],
    sample_shape: tuple[int, ...],
    max_memory_bytes: int,
) -> None:
    """Refuse records that contradict each other, themselves, or the arrays; 0 is no record.

    Raises:
        CorruptStore: says which shard's record, and what of it.
    """
    there = ledger["version"] != 0
    conditions = _rows(ledger, arrays, sample_shape) | _numbers(ledger)
    conditions |= _objects(ledger, arrays, max_memory_bytes)
    for what, holds in conditions.items():
        broken = np.flatnonzero(there & ~holds)
        if len(broken):
            raise CorruptStore(f"the ledger record of shard {broken[0]} makes no sense: {what}")


def _rows(
    ledger: NDArray[Any], arrays: Mapping[str, ShardedArray], sample_shape: tuple[int, ...]
) -> dict[str, NDArray[np.bool_]]:
    """Samples and what is counted of them."""
    grid = arrays[LATENTS].grid
    start = np.arange(len(ledger), dtype=np.uint64) * np.uint64(grid.shard_samples)
    stop = np.minimum(start + np.uint64(grid.shard_samples), np.uint64(grid.samples))
    rows = (stop - start).astype(np.float64)
    latents = math.prod(arrays[LATENTS].item_shape)
    return {
        "its samples are those of another shard": (ledger["row_start"] == start)
        & (ledger["row_stop"] == stop),
        "it counts more than there is": (ledger["exceptions"] <= rows)
        & (ledger["patches"] <= rows * math.prod(sample_shape))
        & (ledger["saturated"] <= rows * latents),
    }


def _numbers(ledger: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
    """Numbers that samples are computed from, and those that describe them."""
    step, base = ledger["residual_step"], ledger["base"]
    scaled = np.ldexp(np.frexp(step)[0], STEP_BITS)
    exact = np.isfinite(step) & (step > 0) & (scaled == np.trunc(scaled))
    stepped = np.isin(ledger["mode"], (Mode.RESIDUALS, Mode.QUANTISED))
    low, high = ledger["data_min"], ledger["data_max"]
    errors = (ledger[name] for name in ("max_abs_error", "worst_mse", "sum_squared_error"))
    return {
        "residual_step": np.where(stepped, exact, step == 0),
        "base": np.where(ledger["mode"] == Mode.QUANTISED, np.isfinite(base), base == 0),
        "an error below 0": ~np.any([error < 0 for error in errors], axis=0),
        "the range of the data": ~(np.isinf(low) | np.isinf(high) | (low > high)),
    }


def _objects(
    ledger: NDArray[Any], arrays: Mapping[str, ShardedArray], max_memory_bytes: int
) -> dict[str, NDArray[np.bool_]]:
    """Which arrays have an object of which size."""
    sizes = {name: ledger[f"size_bytes_{place}"] for place, name in enumerate(arrays)}
    nothing = np.zeros(len(ledger), np.uint64)
    modes = ledger["mode"]
    patched, patches = (sizes.get(name, nothing) > 0 for name in (PATCHED, PATCHES))
    conditions = {
        "patches without a mask, or nothing to patch": (patched == patches)
        & ~(patched & (modes == Mode.VERBATIM))
    }
    for mode, kept in _KEEPS.items():
        needed = modes == mode
        if mode is Mode.LATENTS:
            holds = ~(needed | (modes == Mode.RESIDUALS)) | (sizes[kept] > 0)
        else:
            holds = needed == (sizes.get(kept, nothing) > 0)
        conditions[f"{kept} and its mode"] = holds
    for name, size in sizes.items():
        least = arrays[name].index.size_bytes(arrays[name].grid.chunks_per_shard)
        fits = (size > least) & (size <= max_memory_bytes)
        optional = name != QUALITY and not name.startswith(f"{SIDECARS}/")
        conditions[f"the size of {name}"] = fits | (optional & (size == 0))
    return conditions
