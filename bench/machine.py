"""What a benchmark ran on, and the memory it took."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "latent-engine", "numpy", "numba", "numcodecs", "onnxruntime-gpu", "onnxruntime", "torch",
    "zarr", "zarrs", "tensorstore", "pcodec", "imagecodecs",
)  # fmt: skip


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, GPU and versions; JSON-able."""
    from engine.runtime.device import available_cores, cuda_problem

    return {
        "processor": _processor(),
        "cores": available_cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": "CUDA" if cuda_problem() is None else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def peak_memory_mib() -> float:
    """The most memory that this process has held resident, what it shares with files included."""
    status = Path("/proc/self/status")
    if status.exists():  # where the other way counts the parent's memory, too
        found = next(line for line in status.read_text().splitlines() if "VmHWM" in line)
        return int(found.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        fields = dict(
            line.split(":", 1) for line in info.read_text().splitlines() if line.count(":") == 1
        )
        names = {name.strip(): value.strip() for name, value in fields.items()}
        extensions = [e for e in ("avx2", "avx512f") if e in names.get("flags", "").split()]
        return f"{names.get('model name', 'unknown')} ({', '.join(extensions)})"
    return platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
