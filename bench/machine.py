"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("latent-engine", "numpy", "onnxruntime-gpu", "onnxruntime", "torch", "zarr")


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
