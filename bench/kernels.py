"""The loops of the hot paths on one thread, beside NumPy, zstd alone and zarr-python.

Error statistics and residuals: compiled loops against their NumPy references. Shards: our own bytes
against zstd alone on chunks that lie ready in the same order, and against zarr-python, which holds
them in memory. Codings: what each makes of chunks of latents and of residuals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numcodecs import zstd
from numpy.typing import NDArray

from bench.ratios import Ratio, print_ratios, to_json
from bench.timing import Work, interleave
from cuda_kernels.error_statistics import reference as error_reference
from cuda_kernels.residuals import reference as residual_reference
from engine.geometry import RowGrid
from engine.runtime.error_statistics import error_statistics
from engine.runtime.residuals import quantise, restore
from engine.store.arrays import METADATA, ShardedArray
from engine.store.coding import Coding
from engine.store.shard import split_shard

ELEMENTS = 784
SAMPLES = 1024
SHARD_SAMPLES = 65_536
LATENTS = 32
CHUNK_SAMPLES = 256
ROUNDS = 15

OURS = "engine"
NUMPY = "NumPy"
BARE = "zstd alone"
ZARR = "zarr-python"
_DTYPES = ("uint8", "int16", "float32")
_STEP = 5.0
_CODINGS = {
    "samples last, zstd 1": Coding(),
    "rows, zstd 1": Coding(samples_last=False),
    "byte planes, samples last, zstd 1": Coding(planes=True),
    "byte planes, rows, zstd 1": Coding(samples_last=False, planes=True),
    "rows, pcodec 8": Coding("pcodec", 8, samples_last=False),
}

Works = dict[str, Work]


def run(
    samples: int = SAMPLES, shard_samples: int = SHARD_SAMPLES, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Measure loops on `samples` of 784 elements, and shards of `shard_samples` latents."""
    groups = _shard_works(shard_samples)
    for dtype in _DTYPES:
        groups |= _loop_works(samples, np.dtype(dtype))
    timed = {name: interleave(works, rounds) for name, works in groups.items()}
    ratios = [
        Ratio(f"{group}: {OURS} / {other}", found.speed_ratio(OURS, other))
        for group, found in timed.items()
        for other in found.seconds
        if other != OURS
    ]
    print_ratios(ratios)
    return {
        "ratios": to_json(ratios),
        "ns_an_element": {name: found.medians(1e-9) for name, found in timed.items()},
        "codings": _measure_codings(rounds),
        "rounds": rounds,
    }


def _loop_works(samples: int, dtype: np.dtype[Any]) -> dict[str, Works]:
    rng = np.random.default_rng(0)
    x = (60 * rng.random((samples, ELEMENTS))).astype(dtype)
    y = (x + 8 * rng.standard_normal(x.shape)).astype(np.float32)
    residuals, patched = np.empty(x.shape, np.int16), np.empty(x.shape, np.uint8)
    errors = tuple(np.empty(samples) for _ in range(3))
    steps = np.full(samples, _STEP)
    chosen = (None, _STEP, 1e-3, _STEP / 2, residuals, patched, *errors)
    calls: dict[str, tuple[Callable[..., object], Callable[..., object], tuple[Any, ...]]] = {
        "error statistics": (
            error_statistics,
            error_reference.error_statistics,
            (y, x, *errors[:2]),
        ),
        "quantise residuals": (quantise, residual_reference.quantise, (y, x, *chosen)),
        "restore residuals": (restore, residual_reference.restore, (y, residuals, steps, dtype)),
    }
    return {
        f"{name} {dtype}": {
            OURS: Work(_calling(ours, arguments), x.size),
            NUMPY: Work(_calling(reference, arguments), x.size),
        }
        for name, (ours, reference, arguments) in calls.items()
    }


def _calling(call: Callable[..., object], arguments: tuple[Any, ...]) -> Callable[[int], object]:
    return lambda _: call(*arguments)


def _shard_works(samples: int) -> dict[str, Works]:
    grid = RowGrid(samples, min(CHUNK_SAMPLES, samples), samples)
    array = ShardedArray("latents", grid, (LATENTS,), np.dtype(np.int8), -128)
    rows = _latents(samples)
    ready = [
        np.ascontiguousarray(rows[start : start + grid.chunk_samples].T)
        for start in range(0, samples, grid.chunk_samples)
    ]
    content = array.encode_shard(rows).content
    frames = [zstd.compress(chunk, 1) for chunk in ready]
    stored = _in_memory(array)
    stored[:] = rows

    def write(_: int) -> None:
        stored[:] = rows

    def decode(_: int) -> list[NDArray[Any]]:
        chunks = split_shard(content, grid.chunks_per_shard, "shard")
        return [array.decode_chunk(chunk, "chunk") for chunk in chunks]

    return {
        "encode shard": {
            OURS: Work(lambda _: array.encode_shard(rows), rows.size),
            BARE: Work(lambda _: [zstd.compress(chunk, 1) for chunk in ready], rows.size),
            ZARR: Work(write, rows.size),
        },
        "decode shard": {
            OURS: Work(decode, rows.size),
            BARE: Work(lambda _: [zstd.decompress(frame) for frame in frames], rows.size),
            ZARR: Work(lambda _: stored[:], rows.size),
        },
    }


def _in_memory(array: ShardedArray) -> Any:
    """The array as zarr-python writes and reads it, in memory."""
    import zarr
    from zarr.core.buffer import default_buffer_prototype

    document = default_buffer_prototype().buffer.from_bytes(array.metadata())
    return zarr.open_array(zarr.storage.MemoryStore({METADATA: document}), mode="r+")


def _latents(samples: int) -> NDArray[np.int8]:
    """Integers whose spread falls from channel to channel, as that of latents does."""
    rng = np.random.default_rng(0)
    spread = np.geomspace(40, 1, LATENTS)
    drawn = rng.laplace(scale=spread, size=(samples, LATENTS))
    return np.clip(np.rint(drawn), -127, 127).astype(np.int8)


def _measure_codings(rounds: int) -> dict[str, dict[str, Any]]:
    """Times a value in ns and bits a value of every coding, by what the chunk holds."""
    residuals = np.random.default_rng(0).laplace(scale=2, size=(CHUNK_SAMPLES, ELEMENTS))
    chunks: dict[str, NDArray[Any]] = {
        "latents": _latents(CHUNK_SAMPLES),
        "residuals": np.rint(residuals).astype(np.int16),
    }
    found = {name: _measure_chunk(chunk, rounds) for name, chunk in chunks.items()}
    print(f"\n{'':50}{'encode ns':>10}{'decode ns':>10}{'bits':>7}")
    for name, codings in found.items():
        for coding, measured in codings.items():
            numbers = "{encode_ns:10.2f}{decode_ns:10.2f}{bits:7.2f}".format(**measured)
            print(f"{name + ', ' + coding:50}{numbers}")
    return found


def _measure_chunk(chunk: NDArray[Any], rounds: int) -> dict[str, dict[str, float]]:
    works: Works = {}
    contents = {name: coding.encode(chunk) for name, coding in _CODINGS.items()}
    for name, coding in _CODINGS.items():
        decoding = (contents[name], chunk.shape, chunk.dtype, "chunk")
        works[f"encode {name}"] = Work(_calling(coding.encode, (chunk,)), chunk.size)
        works[f"decode {name}"] = Work(_calling(coding.decode, decoding), chunk.size)
    times = interleave(works, rounds).medians(1e-9)
    return {
        name: {
            "encode_ns": times[f"encode {name}"],
            "decode_ns": times[f"decode {name}"],
            "bits": round(8 * len(contents[name]) / chunk.size, 3),
        }
        for name in _CODINGS
    }
