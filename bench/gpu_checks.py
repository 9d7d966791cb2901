"""Whether a GPU gives what the CPU gives, and what was promised, on real samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import engine
from bench.principal_components import pack_principal_components
from bench.workloads import Workload
from engine.reading.deviation import deviations, violations
from engine.reading.device_reconstruction import DeviceReconstruction
from engine.runtime.codec import Codec

MOST_MOVED = 4e-5
"""Share of latents that may be one off: so many differ between torch and onnxruntime."""

COMPONENTS = 16
ROWS = 300
GUARANTEES: Mapping[str, dict[str, Any]] = {
    "no guarantee": {},
    "max-error": {"max_error": "2%"},
    "lossless": {"lossless": True},
    "min-psnr": {"min_psnr": 35.0},
}
DTYPES = ("uint8", "int16", "float32", "float64")

Check = Callable[[], dict[str, Any]]


def run_checks(checks: Mapping[str, Check]) -> dict[str, dict[str, Any]]:
    """What every check found, with whether it passed; one that fails doesn't stop the others."""
    found: dict[str, dict[str, Any]] = {}
    for name, check in checks.items():
        try:
            found[name] = {"passed": True, **check()}
        except (AssertionError, engine.EngineError) as error:
            found[name] = {"passed": False, "found": str(error)}
        print(
            f"{'ok' if found[name]['passed'] else 'FAILED':8}{name} {_rest(found[name])}".rstrip()
        )
    return found


def _rest(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.items() if name != "passed")


def workload_checks(
    workload: Workload, samples: NDArray[Any], device: str, folder: Path
) -> dict[str, Check]:
    """Latents, and a store of every guarantee, of a trained codec and uint8 images."""
    name = workload.name
    return {
        f"{name}: latents": lambda: check_latents(workload.codec, samples, device),
        **dict(_store_checks(name, workload.codec, samples, device, folder)),
    }


def dtype_checks(images: NDArray[Any], device: str, folder: Path) -> dict[str, Check]:
    """The same of a linear codec, and of samples of several dtypes."""
    checks: dict[str, Check] = {}
    for dtype in DTYPES:
        samples = _varied(images, np.dtype(dtype))
        path = folder / f"{dtype}.codec"
        codec = pack_principal_components(samples, COMPONENTS, path)
        checks |= dict(_store_checks(f"linear {dtype}", codec, samples, device, folder))
    return checks


def _varied(images: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Images as that dtype holds them: more digits than before the point, and gaps in floats."""
    samples = images.astype(dtype)
    if dtype.kind == "f":
        samples += np.random.default_rng(0).random(samples.shape).astype(dtype)
    return samples


def _store_checks(
    name: str, codec: Codec, samples: NDArray[Any], device: str, folder: Path
) -> Iterator[tuple[str, Check]]:
    for guarantee, options in GUARANTEES.items():
        path = folder / f"{name} {guarantee}.zarr".replace(" ", "-")
        yield (
            f"{name}: {guarantee}",
            lambda path=path, options=options: check_store(codec, samples, device, path, options),
        )


def check_latents(codec: Codec, samples: NDArray[Any], device: str) -> dict[str, Any]:
    """Latents of `device` against the CPU's: at most 4 of 10**5 may be one off."""
    found = codec.on(device).encode(samples).astype(int)
    apart = np.abs(found - codec.on("cpu").encode(samples))
    moved = np.count_nonzero(apart) / apart.size
    _expect(apart.max() <= 1, f"latents are up to {apart.max()} apart")
    _expect(moved <= MOST_MOVED, f"{moved:.2g} of all latents differ, {MOST_MOVED:.2g} may")
    return {"moved": float(f"{moved:.2g}")}


def check_store(
    codec: Codec, samples: NDArray[Any], device: str, path: Path, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Compress on `device`; what is read there, on the CPU and in its memory keeps the promise."""
    report = engine.compress(samples, path, codec, device=device, overwrite=True, **options)
    verification = engine.verify(path, against=samples, device=device)
    _expect(verification.ok, "; ".join(verification.problems[:1]))
    worst = 0.0
    for reader in dict.fromkeys((device, "cpu")):
        with engine.open(path, device=reader) as store:
            worst = max(worst, _worst_error(store[:], samples, store))
    with engine.open(path, device=device) as store:
        _check_tensors(store, len(samples))
    return {"ratio": float(f"{report.ratio:.4g}"), "max_abs_error": float(f"{worst:.4g}")}


def _worst_error(found: NDArray[Any], samples: NDArray[Any], store: Any) -> float:
    errors = deviations(found, samples)
    broken = violations(found, samples, errors, store.guarantee)
    _expect(not broken.any(), f"{broken.sum()} samples break the guarantee")
    return float(errors[0].max())


def _check_tensors(store: Any, count: int) -> None:
    """Rows in the device's memory are those that the same device returns to the host."""
    rows = np.random.default_rng(0).integers(0, count, ROWS)
    tensors = DeviceReconstruction(store.contents, store.codec, 0)
    found, expected = tensors(rows).cpu().numpy(), store.read(rows)
    if store.guarantee.kind == "lossless":
        _expect(found.tobytes() == expected.tobytes(), "tensors differ from the samples")
        return
    # Batches of another size may move the last bits of a float, and a rounded value by one.
    room = max(1.0 if found.dtype.kind != "f" else 0.0, 1e-4 * float(np.abs(expected).max()))
    apart = np.abs(found.astype(float) - expected.astype(float)).max()
    _expect(apart <= room, f"tensors are {apart:.3g} from the samples")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)
