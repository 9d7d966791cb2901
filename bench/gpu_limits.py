"""What a GPU can do at best: copies, kernels and bare networks over data that lie there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.timing import Rounds, Work, interleave
from cuda_kernels.error_statistics import reference as error_reference
from cuda_kernels.residuals import reference as residual_reference
from engine.codec.files import DECODER, ENCODER
from engine.errors import EngineError
from engine.runtime.codec import Codec
from engine.runtime.cuda_options import EXACT, CudaOptions
from engine.runtime.device_kernels import kernels_on
from engine.runtime.network_lane import NetworkLane

ELEMENTS = 784
ROLES = (ENCODER, DECODER)
OPTIONS: Mapping[str, CudaOptions] = {
    "exact": EXACT,
    "CUDA graph": CudaOptions(graph=True),
    "channels last": CudaOptions(nhwc=True),
}
_RUNS = 16  # queued at a time, so that waiting for the last of them doesn't count
_STEP, _TOLERANCE = 5.0, 1e-3
_DTYPES = ("uint8", "int16", "float32")


def bare_networks(
    codec: Codec, samples: NDArray[Any], batches: tuple[int, ...], rounds: int
) -> tuple[dict[str, Any], dict[str, float]]:
    """Samples a second of each option and batch, and the best of each role that is exact.

    `samples` are those to compare latents of: options that change them say how many.
    """
    works: dict[str, Work] = {}
    notes: dict[str, Any] = {}
    expected = codec.on("cpu").encode(samples)
    for option, cuda in OPTIONS.items():
        for batch in batches:
            try:
                lane = NetworkLane(codec, 1.0, batch, ROLES, cuda)
            except EngineError as error:  # not every network can be captured
                notes[f"{option}, batch {batch}"] = str(error)
                continue
            for role in ROLES:
                name = f"{role}, {option}, batch {batch}"
                works[name] = Work(_running(lane, role), batch * _RUNS)
        notes[f"{option}: latents that differ"] = _moved(codec, cuda, samples, expected)
    speeds = interleave(works, rounds).items_per_s()
    best = {role: max(_exact_speeds(speeds, role)) for role in ROLES}
    return {"samples_per_s": speeds, "notes": notes}, best


def _exact_speeds(speeds: Mapping[str, float], role: str) -> list[float]:
    exact = tuple(f"{role}, {option}," for option, cuda in OPTIONS.items() if _is_exact(cuda))
    return [speed for name, speed in speeds.items() if name.startswith(exact)]


def _is_exact(cuda: CudaOptions) -> bool:
    return replace(cuda, graph=False) == EXACT


def _running(lane: NetworkLane, role: str) -> Callable[[int], None]:
    def run(_: int) -> None:
        with lane.queue:
            for _ in range(_RUNS):
                lane.run(role, lane.batch_samples)

    return run


def _moved(
    codec: Codec, cuda: CudaOptions, samples: NDArray[Any], expected: NDArray[Any]
) -> float | str:
    try:
        lane = NetworkLane(codec, 1.0, len(samples), (ENCODER,), cuda)
        with lane.queue:
            lane.encode(samples)
            latents = lane.latents.download(len(samples))
    except EngineError as error:
        return str(error)
    return float(f"{np.count_nonzero(latents != expected) / latents.size:.2g}")


def copies(device: str, size_bytes: int, rounds: int) -> dict[str, float]:
    """Bandwidth in GB/s between the host and the device, from pinned and from pageable memory."""
    import torch

    there = torch.zeros(size_bytes, dtype=torch.uint8, device=device)
    pageable = torch.zeros(size_bytes, dtype=torch.uint8)
    pinned = pageable.pin_memory() if device == "cuda" else pageable.clone()

    def copying(target: Any, source: Any) -> Callable[[int], None]:
        def copy(_: int) -> None:
            target.copy_(source, non_blocking=True)
            if device == "cuda":
                torch.cuda.synchronize()

        return copy

    works = {
        "up, pinned": Work(copying(there, pinned), size_bytes),
        "up, pageable": Work(copying(there, pageable), size_bytes),
        "down, pinned": Work(copying(pinned, there), size_bytes),
        "down, pageable": Work(copying(pageable, there), size_bytes),
        "pageable to pinned, one core": Work(lambda _: pinned.numpy().__setitem__(
            slice(None), pageable.numpy()), size_bytes),
    }  # fmt: skip
    found = interleave(works, rounds).items_per_s()
    return {name: float(f"{speed / 1e9:.4g}") for name, speed in found.items()}


def kernels(device: str, samples: int, rounds: int) -> dict[str, Any]:
    """Each kernel over arrays that lie on the device, beside its NumPy reference on the host."""
    return {
        f"{name} {dtype}": found
        for dtype in _DTYPES
        for name, found in _kernels_of(device, samples, np.dtype(dtype), rounds).items()
    }


def _kernels_of(
    device: str, samples: int, dtype: np.dtype[Any], rounds: int
) -> dict[str, dict[str, float]]:
    from cuda_kernels.lane import Lane

    rng = np.random.default_rng(0)
    x = (60 * rng.random((samples, ELEMENTS))).astype(dtype)
    y = (x + 8 * rng.standard_normal(x.shape)).astype(np.float32)
    residuals, patched = np.zeros(x.shape, np.int16), np.zeros(x.shape, np.uint8)
    errors = tuple(np.zeros(samples) for _ in range(3))
    steps, bounds = np.full(samples, _STEP), (None, _STEP, _TOLERANCE, _STEP / 2)
    ours, lane = kernels_on("cuda" if device == "cuda" else "cpu"), Lane(device)
    calls = {
        "finish": (ours.finish, lambda: error_reference.finish(y, dtype), (y, x)),
        "error statistics": (ours.error_statistics, None, (y, x, *errors[:2])),
        "quantise": (ours.quantise, None, (y, x, *bounds, residuals, patched, *errors)),
        "restore": (
            ours.restore,
            lambda: residual_reference.restore(y, residuals, steps, dtype),
            (y, residuals, steps, x),
        ),
    }
    references = {
        "error statistics": error_reference.error_statistics,
        "quantise": residual_reference.quantise,
    }
    found = {}
    for name, (launch, reference, arguments) in calls.items():
        with lane:
            moved = [lane.upload(a) if isinstance(a, np.ndarray) else a for a in arguments]
        on_host = reference or _calling(references[name], arguments)
        size_bytes = sum(a.nbytes for a in arguments if isinstance(a, np.ndarray))
        rounds_found = interleave(
            {
                "device": Work(_launching(lane, launch, moved), size_bytes * _RUNS),
                "NumPy": Work(lambda _, on_host=on_host: on_host(), size_bytes),
            },
            rounds,
        )
        found[name] = _kernel_facts(rounds_found)
    return found


def _kernel_facts(rounds: Rounds) -> dict[str, float]:
    return {
        "gb_per_s": float(f"{1e-9 / rounds.median_s('device'):.4g}"),
        "times_numpy": float(f"{rounds.speed_ratio('device', 'NumPy'):.4g}"),
    }


def _calling(call: Callable[..., object], arguments: tuple[Any, ...]) -> Callable[[], object]:
    return lambda: call(*arguments)


def _launching(
    lane: Any, launch: Callable[..., None], arguments: list[Any]
) -> Callable[[int], None]:
    def run(_: int) -> None:
        with lane:
            for _ in range(_RUNS):
                launch(*arguments)

    return run
