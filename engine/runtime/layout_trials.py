"""How fast a codec's networks run, by batch size and by how the cores are shared out.

A network on a CPU is fastest where its activations stay in the cache, on a GPU where they fill it,
and whether many runs of one thread beat one run of many depends on the sizes of its layers: all
are measured, in slices of a few milliseconds, until the slow ones are out or the time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_kernels.error_statistics.reference import finish
from engine.codec.files import DECODER, ENCODER
from engine.runtime.codec import Codec
from engine.runtime.device import Device, available_cores

_SLICE_S = 0.01
_DOUBLINGS = range(-4, 3)  # from the batch that suits the device by its size
_KEPT = 0.5  # of the best rate after one round; what is slower isn't measured again
_CUDA_CALLERS = 2  # one copies while the other computes
_VARIED_SAMPLES = 64
_STEP = np.ones(1, np.float32)

BATCH_COST_S = 150e-6
"""What a batch costs a caller beside its networks: mostly waiting for Python's interpreter lock."""

READ_BATCH_COST_S = 20e-6
"""The same where samples are decoded only: few other threads want that lock."""

Seconds = dict[str, float]
"""Time a sample takes in each network, by its role, while all callers run."""


@dataclass(frozen=True)
class Layout:
    """How a machine is shared out: `callers` runs at once, of `threads_per_run` threads each."""

    batch_samples: int
    callers: int
    threads_per_run: int


def candidates(codec: Codec, cores: int | None = None) -> list[Layout]:
    """What is worth measuring: small batches first, all within the limit on memory.

    `cores` are those to share out, by default all that this process may use.
    """
    found = []
    for callers, threads in shares(codec.device, cores or available_cores()):
        largest = max(1, codec.largest_batch // callers)
        sizes = {
            max(1, min(int(codec.batch_samples * 2.0**doubling), largest))
            for doubling in _DOUBLINGS
        }
        found += [Layout(size, callers, threads) for size in sizes]
    return sorted(found, key=lambda layout: (layout.batch_samples, layout.threads_per_run))


def shares(device: Device, cores: int) -> list[tuple[int, int]]:
    """Callers and threads per run: one thread each, all in one run, and halfway."""
    if device == "cuda":
        return [(_CUDA_CALLERS, 1)]
    halfway = 1 << (cores.bit_length() // 2)
    return [(cores // threads, threads) for threads in sorted({1, min(halfway, cores), cores})]


def search(
    layouts: list[Layout],
    trial: Callable[[Layout], Seconds],
    budget_s: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Layout, Seconds]:
    """The best of several trials of each layout that was tried, in turn, until time is over.

    Layouts come with small batches first, at least one is tried, and none is begun that would
    not end in time, as far as its predecessor tells.
    """
    deadline = clock() + budget_s
    results: dict[Layout, Seconds] = {}
    alive, lasted_s, previous, rounds = layouts, 0.0, layouts[0], 0
    while True:
        rounds += 1
        for layout in alive:
            began = clock()
            growth = max(1.0, layout.batch_samples / previous.batch_samples)
            if results and began + lasted_s * growth > deadline:
                return results
            found = trial(layout)
            lasted_s, previous = clock() - began, layout
            kept_seconds = results.get(layout, found)
            results[layout] = max(found, kept_seconds, key=lambda s: speed(layout, s))
        speeds = {layout: speed(layout, seconds) for layout, seconds in results.items()}
        best = max(speeds.values())
        kept = best * _KEPT ** (1 / rounds)  # the more rounds, the surer
        alive = [layout for layout in alive if speeds[layout] >= kept]


def speed(layout: Layout, seconds: Seconds, batch_cost_s: float = BATCH_COST_S) -> float:
    """Samples a second through all networks in turn, and through what calls them."""
    return 1 / (sum(seconds.values()) + batch_cost_s / layout.batch_samples / layout.callers)


class Trials:
    """Runs a codec's networks for a moment, as a layout says; open as long as one is measured."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._pool = ThreadPoolExecutor(available_cores() + _CUDA_CALLERS)
        self._opened: dict[int, Codec] = {}

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def __call__(self, layout: Layout) -> Seconds:
        """Time a sample takes in each network while all callers run."""
        threads = layout.threads_per_run
        if threads not in self._opened:
            self._opened[threads] = self._codec.on(self._codec.device, threads)
        codec, count = self._opened[threads], layout.batch_samples
        runs = [self._pool.submit(_run_slice, codec, count) for _ in range(layout.callers)]
        found = [run.result() for run in runs]
        return {
            role: sum(seconds[role] for seconds in found) / layout.callers**2
            for role in codec.roles
        }


def _run_slice(codec: Codec, count: int) -> Seconds:
    """One caller's time a sample in each network, over as many runs as a slice holds."""
    buffers = dict(_buffers(codec, count))
    for bound, batch, out in buffers.values():
        bound(batch, out)  # makes the latents, and takes the memory that later runs find
    spent_s = dict.fromkeys(buffers, 0.0)
    end, runs = time.perf_counter() + _SLICE_S, 0
    while not runs or time.perf_counter() < end:
        for role, (bound, batch, out) in buffers.items():
            began = time.perf_counter()
            bound(batch, out)
            spent_s[role] += time.perf_counter() - began
        runs += 1
    return {role: seconds / (runs * count) for role, seconds in spent_s.items()}


def _buffers(codec: Codec, count: int) -> Iterator[tuple[str, Any]]:
    """Each network, bound, with what it takes and where its result goes."""
    manifest = codec.manifest
    latents = np.zeros((count, *manifest.latent.shape), manifest.latent.dtype)
    if ENCODER in codec.roles:
        yield ENCODER, (codec.encoder.bind(_STEP), random_samples(codec, count), latents)
    if DECODER in codec.roles:
        decoded = np.empty((count, *codec.sample_shape), manifest.sample.working_dtype)
        yield DECODER, (codec.decoder.bind(_STEP), latents, decoded)


def random_samples(codec: Codec, count: int) -> NDArray[Any]:
    """Samples `(count, *sample_shape)` spread over the range that the codec was made for."""
    sample = codec.manifest.sample
    varied = (min(count, _VARIED_SAMPLES), *sample.shape)
    values = np.random.default_rng(0).uniform(*sample.data_range, varied)
    samples = finish(values.astype(sample.working_dtype), sample.dtype)
    return np.resize(samples, (count, *sample.shape))
