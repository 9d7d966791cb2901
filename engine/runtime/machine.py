"""What tells one machine's speed from another's."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import re
from pathlib import Path

from engine.runtime.device import Device, available_cores, gpu_name

_MODEL_NAME = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)


def machine_facts(device: Device) -> dict[str, str | int]:
    """Processor, cores that this process may use, GPU if it runs networks, onnxruntime's version.

    JSON-able; equal on machines that are equally fast.
    """
    facts: dict[str, str | int] = {
        "processor": processor_name(),
        "cores": available_cores(),
        "onnxruntime": _onnxruntime_version(),
    }
    return facts | ({"gpu": gpu_name()} if device == "cuda" else {})


def name_measurement(kind: str, device: Device, *subject: str) -> str:
    """The file in the user's cache that keeps what was measured of a subject on this machine."""
    key = json.dumps([*subject, machine_facts(device)], sort_keys=True)
    return f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


@functools.cache
def processor_name() -> str:
    """The processor's model where the system tells it, else its architecture."""
    try:
        found = _MODEL_NAME.search(Path("/proc/cpuinfo").read_text(errors="replace"))
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _onnxruntime_version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)
