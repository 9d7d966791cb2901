"""A GPU: whether it gives what the CPU gives, and how fast it is beside its own limits.

The limits are the bare networks over data that lie in its memory, at the best batch, and the
bandwidth of copies. Beside them what users would do instead: a loop in torch on the same GPU.
Without a GPU nothing is measured, and nothing recorded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import engine
from bench import gpu_limits
from bench.digits import load_digits
from bench.gpu_checks import dtype_checks, run_checks, workload_checks
from bench.gpu_torch import encode_on_device
from bench.ratios import Ratio, print_ratios, to_json
from bench.timing import Rounds, Work, interleave
from bench.workloads import Workload, make_workload, varied_digits
from engine.codec.files import DECODER, ENCODER
from engine.errors import DeviceUnavailable
from engine.reading.device_reconstruction import DeviceReconstruction
from engine.runtime.device import cuda_problem
from engine.runtime.device_kernels import HINT, lacks_kernels

SAMPLES = {"dense": 1_000_000, "conv": 200_000}
CHECKED_SAMPLES = 2500
BATCHES = (1024, 4096, 16_384)
COPIED_BYTES = 256 << 20
KERNEL_SAMPLES = 16_384
RUNS = 3
READS = 100
MANY = 256

COMPRESS = "compress"
LATENTS_ONLY = "compress without quality"
BOUNDED = "compress, max-error 8"
DECODE = "np.asarray(store)"
SCRIPT = "torch loop, latents"
MEASURING_SCRIPT = "torch loop, latents and errors"
TENSOR, MOVED = "into the device's memory", "to the host, then up"


def run(
    samples: Mapping[str, int] = SAMPLES,
    device: str = "cuda",
    *,
    checked: int = CHECKED_SAMPLES,
    batches: tuple[int, ...] = BATCHES,
    copied_bytes: int = COPIED_BYTES,
    kernel_samples: int = KERNEL_SAMPLES,
    runs: int = RUNS,
    reads: int = READS,
) -> dict[str, Any]:
    """Check and measure `device`; the sizes are those of an H100 in less than eight minutes.

    Raises:
        DeviceUnavailable: there is no GPU, or nothing to use it with.
    """
    _check_device(device)
    digits = load_digits()[0]  # sorted by label
    images = digits[:: -(-len(digits) // checked)]
    checks, ratios, measured = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        checks |= run_checks(dtype_checks(images, device, Path(folder)))
        for name, count in samples.items():
            workload = make_workload(name)
            checks |= run_checks(workload_checks(workload, images, device, Path(folder)))
            part = Path(folder, f"{name} speed")
            found, own = _measure(workload, count, device, batches, runs, reads, part)
            ratios[name], measured[name] = to_json(own), found
            print(f"\n{name}: {count} samples")
            print_ratios(own)
    return {
        "ratios": ratios,
        "checks": checks,
        "all_checks_passed": all(found["passed"] for found in checks.values()),
        "device": _describe(device),
        "copies_gb_per_s": gpu_limits.copies(device, copied_bytes, max(runs, 2)),
        "kernels": gpu_limits.kernels(device, kernel_samples, max(runs, 2)),
        "measured": measured,
    }


def _check_device(device: str) -> None:
    problem = cuda_problem() if device == "cuda" else None
    if problem is None and device == "cuda" and lacks_kernels("cuda"):
        problem = f"torch or Triton is missing, or sees no GPU; {HINT}"
    if problem is not None:
        raise DeviceUnavailable(f"this benchmark is of a GPU, and nothing is recorded: {problem}")


def _describe(device: str) -> dict[str, Any]:
    import torch

    if device != "cuda":
        return {"name": device}
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "multiprocessors": properties.multi_processor_count,
        "cuda": torch.version.cuda,
    }


def _measure(
    workload: Workload,
    count: int,
    device: str,
    batches: tuple[int, ...],
    runs: int,
    reads: int,
    folder: Path,
) -> tuple[dict[str, Any], list[Ratio]]:
    folder.mkdir()
    samples, data = varied_digits(count), folder / "samples.npy"
    np.save(data, samples)
    codec = workload.codec.on(device)
    some = samples[: batches[0]]
    bare, best = gpu_limits.bare_networks(codec, some, batches, max(runs, 2))
    rounds = interleave(
        _bulk_works(workload, codec, data, count, device, folder), runs, settle=True
    )
    random = _random_rounds(folder / f"{_slug(COMPRESS)}.zarr", device, count, reads)
    speeds = rounds.items_per_s()
    found = {
        "samples_per_s": speeds,
        "bare": bare,
        "random_us": {size: one.medians(1e-6) for size, one in random.items()},
        "samples": count,
        "runs": runs,
    }
    return found, _ratios(rounds, speeds, best, random)


def _bulk_works(
    workload: Workload, codec: engine.Codec, data: Path, count: int, device: str, folder: Path
) -> dict[str, Work]:
    def compress(name: str, **options: Any) -> Work:
        store = folder / f"{_slug(name)}.zarr"
        return Work(
            lambda _: engine.compress(data, store, codec, device=device, overwrite=True, **options),
            count,
        )

    def script(name: str, decoder: Any) -> Work:
        encoder, out = workload.encoder.to(device), folder / f"{_slug(name)}.npy"
        return Work(lambda _: encode_on_device(encoder, decoder, data, out, device), count)

    engine.compress(data, folder / f"{_slug(COMPRESS)}.zarr", codec, device=device)
    store = engine.open(folder / f"{_slug(COMPRESS)}.zarr", device=device)
    return {
        COMPRESS: compress("again"),
        LATENTS_ONLY: compress(LATENTS_ONLY, quality=False),
        BOUNDED: compress(BOUNDED, max_error=8),
        DECODE: Work(lambda _: np.asarray(store), count),
        SCRIPT: script(SCRIPT, None),
        MEASURING_SCRIPT: script(MEASURING_SCRIPT, workload.decoder.to(device)),
    }


def _slug(name: str) -> str:
    return name.replace(" ", "-").replace(",", "")


def _random_rounds(path: Path, device: str, count: int, reads: int) -> dict[str, Rounds]:
    """Reads of one random sample and of many, into a tensor of the device."""
    import torch

    found = {}
    with engine.open(path, device=device) as store:
        tensors = DeviceReconstruction(store.contents, store.codec, 64 << 20)

        def moved(rows: Any) -> Any:
            return torch.from_numpy(store.read(rows)).to(device)

        for size in (1, MANY):
            warm_up = max(1, reads // 10)
            rows = np.random.default_rng(size).integers(0, count, (warm_up + reads, size))
            works = {
                TENSOR: Work(lambda turn, rows=rows: tensors(rows[turn])),
                MOVED: Work(lambda turn, rows=rows: moved(rows[turn])),
            }
            found[str(size)] = interleave(works, reads, warm_up=warm_up)
    return found


def _ratios(
    rounds: Rounds,
    speeds: Mapping[str, float],
    best: Mapping[str, float],
    random: Mapping[str, Rounds],
) -> list[Ratio]:
    both = 1 / (1 / best[ENCODER] + 1 / best[DECODER])
    limits = {
        COMPRESS: ("bare encoder + decoder", both),
        LATENTS_ONLY: ("bare encoder", best[ENCODER]),
        BOUNDED: ("bare encoder + decoder", both),
        DECODE: ("bare decoder", best[DECODER]),
    }
    scripts = ((LATENTS_ONLY, SCRIPT), (COMPRESS, MEASURING_SCRIPT))
    return [
        *(
            Ratio(f"{work} / {name}", speeds[work] / limit)
            for work, (name, limit) in limits.items()
        ),
        *(Ratio(f"{work} / {peer}", rounds.speed_ratio(work, peer)) for work, peer in scripts),
        *(
            Ratio(f"{size} random: {TENSOR} / {MOVED}", one.speed_ratio(TENSOR, MOVED))
            for size, one in random.items()
        ),
    ]
