"""Random access, warm: one sample and 256, beside the bare decoder, Zarr and tensorstore.

Every read asks for rows of its own choice, the same of each reader in turn. One sample is read as
a service does it, many times in a row, each with a call of its own; and once between the reads of
the others, which push a reader out of the processor's caches. The limit opens the shard objects
beforehand and knows where each chunk lies: one pread and one zstd decompression a chunk, a gather,
one run of the decoder. No reader keeps decompressed chunks.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import zstd
from numpy.typing import NDArray

import engine
from bench.bare import Session, open_session
from bench.ratios import Ratio, print_ratios, to_json
from bench.raw_zarr import ZSTD, open_tensorstore, write_raw_zarr
from bench.timing import Rounds, Work, interleave
from bench.workloads import make_workload, varied_digits
from engine.codec.files import DECODER
from engine.runtime.device import available_cores
from engine.store.contents import StoreContents
from engine.store.plan import LATENTS
from engine.store.shard_index import CRC_BYTES

SAMPLES = {"dense": 400_000, "conv": 100_000}
READS = 32
ROUNDS = 60
COLD_ROUNDS = 300
MANY = 256
MANY_ROUNDS = 25

STORE = "store"
BARE = "bare decoder + reads"
TENSORSTORE = "tensorstore zstd-3"
_ONE, _ONE_RAW, _MANY = (1.5, 1.1), (5, 20), (1.5, 1.15)

Read = Callable[[NDArray[np.int64]], object]


def run(
    samples: Mapping[str, int] = SAMPLES,
    rounds: int = ROUNDS,
    cold_rounds: int = COLD_ROUNDS,
    many_rounds: int = MANY_ROUNDS,
) -> dict[str, Any]:
    """Measure the codecs that `samples` names, each in a store of so many samples."""
    found = {}
    for name, count in samples.items():
        with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
            readers = open_readers(name, count, Path(folder), opened)
            found[name] = _measure(name, readers, count, (rounds, cold_rounds, many_rounds))
    ratios = {name: measured.pop("ratios") for name, measured in found.items()}
    return {"ratios": ratios, "measured": found}


def open_readers(name: str, count: int, folder: Path, opened: ExitStack) -> dict[str, Read]:
    """Readers of the same samples, by name; `opened` closes them."""
    workload, samples = make_workload(name), varied_digits(count)
    path = folder / "store.zarr"
    engine.compress(samples, path, workload.codec, device="cpu", portable=True)
    store = opened.enter_context(engine.open(path, "cpu", cache_bytes=0))
    raw = write_raw_zarr(folder / "raw.zarr", samples, store.contents.part.chunk_samples)
    bare = opened.enter_context(BareReader(path, workload.codec.files.role(DECODER)))
    readers: dict[str, Read] = {
        STORE: lambda rows: store[_key(rows)],
        BARE: bare,
        ZSTD: lambda rows: raw[_key(rows)] if len(rows) == 1 else raw.oindex[rows],
    }
    if (tensors := open_tensorstore(folder / "raw.zarr")) is not None:
        readers[TENSORSTORE] = lambda rows: tensors[_key(rows)].read().result()
    return readers


def _key(rows: NDArray[np.int64]) -> Any:
    """How a user asks for rows: for one by its number."""
    return int(rows[0]) if len(rows) == 1 else rows


class BareReader:
    """Reads rows of a store with the least that it takes: no checks, nothing finished."""

    def __init__(self, path: Path, decoder: bytes) -> None:
        """Open every shard of latents."""
        contents = StoreContents(path)
        self._array = contents.arrays[LATENTS]
        grid, part = self._array.grid, path / contents.part.path
        shards = [part / self._array.key(shard) for shard in range(grid.shard_count)]
        form = self._array.index
        size = form.size_bytes(grid.chunks_per_shard)
        self._indexes = [
            form.decode(shard.read_bytes()[-size:], str(shard)).tolist() for shard in shards
        ]
        self._files = [os.open(shard, os.O_RDONLY) for shard in shards]
        self._one = open_session(decoder, 1)
        self._many = open_session(decoder, available_cores())

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the decoder returns for `rows`; one row needs no second thread."""
        session: Session = self._one if len(rows) == 1 else self._many
        return session(self.latents(rows))

    def latents(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Integer latents of `rows`, each chunk read once, one after the other."""
        latents = np.empty((len(rows), math.prod(self._array.item_shape)), self._array.dtype)
        numbers, offsets = np.divmod(rows, self._array.grid.chunk_samples)
        opened = -1
        for position in np.argsort(numbers).tolist():
            if numbers[position] != opened:
                opened = int(numbers[position])
                chunk = self._chunk(opened)
            latents[position] = chunk[:, offsets[position]]
        return latents.reshape(len(rows), *self._array.item_shape)

    def _chunk(self, number: int) -> NDArray[Any]:
        """Chunk `number`, counted over all shards, as `(elements, chunk_samples)`."""
        shard, chunk = divmod(number, self._array.grid.chunks_per_shard)
        offset, length = self._indexes[shard][chunk]
        content = os.pread(self._files[shard], length - CRC_BYTES, offset)
        values = np.frombuffer(zstd.decompress(content), self._array.dtype)
        return values.reshape(-1, self._array.grid.chunk_samples)

    def __enter__(self) -> BareReader:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            os.close(file)


def _measure(
    name: str, readers: Mapping[str, Read], count: int, rounds: tuple[int, int, int]
) -> dict[str, Any]:
    one = _interleave(readers, 1, count, rounds[0], READS)
    cold = _interleave(readers, 1, count, rounds[1])
    many = _interleave(readers, MANY, count, rounds[2])
    ratios = [
        *_ratios("one sample", one, _ONE, _ONE_RAW),
        *_ratios("one sample, cold", cold),
        *_ratios(f"{MANY} samples", many, _MANY),
    ]
    print(f"\n{name}: {count} samples")
    print_ratios(ratios)
    return {
        "ratios": to_json(ratios),
        "one_sample_us": one.medians(1e-6),
        "one_sample_cold_us": cold.medians(1e-6),
        f"{MANY}_samples_ms": many.medians(1e-3),
        "samples": count,
        "reads": READS,
        "rounds": list(rounds),
    }


def _interleave(
    readers: Mapping[str, Read], size: int, count: int, rounds: int, reads: int = 1
) -> Rounds:
    """Every turn of a reader is so many `reads` of `size` rows."""
    warm_up = max(1, rounds // 10)
    rows = np.random.default_rng(size).integers(0, count, (warm_up + rounds, reads, size))
    works = {name: Work(_reading(read, rows), reads) for name, read in readers.items()}
    return interleave(works, rounds, warm_up=warm_up)


def _reading(read: Read, rows: NDArray[np.int64]) -> Callable[[int], object]:
    def run(turn: int) -> None:
        for asked in rows[turn]:
            read(asked)

    return run


def _ratios(
    what: str,
    rounds: Rounds,
    bare: tuple[float, float] | tuple[()] = (),
    raw: tuple[float, float] | tuple[()] = (),
) -> list[Ratio]:
    limit = Ratio(
        f"{what}: time of {STORE} / {BARE}", rounds.time_ratio(STORE, BARE), *bare, at_most=True
    )
    speeds = [
        Ratio(f"{what}: {STORE} / {peer}", rounds.speed_ratio(STORE, peer), *targets)
        for peer, targets in ((ZSTD, raw), (TENSORSTORE, ()))
        if peer in rounds.seconds
    ]
    return [limit, *speeds]
