"""Which device runs networks on this machine, without silent fallbacks."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from typing import Literal, get_args

from engine.errors import DeviceUnavailable, InvalidInput

Device = Literal["cpu", "cuda"]
DeviceChoice = Literal["auto", "cpu", "cuda"]
_NAME_BYTES = 256


def resolve_device(choice: str) -> Device:
    """The device to use: `auto` takes CUDA where it works, `cuda` takes it or fails.

    Raises:
        DeviceUnavailable: CUDA was asked for and can't run networks here.
        InvalidInput: an unknown name.
    """
    if choice not in get_args(DeviceChoice):
        raise InvalidInput(f"device must be auto, cpu or cuda, got {choice!r}")
    if choice == "cpu":
        return "cpu"
    reason = cuda_problem()
    if choice == "cuda" and reason is not None:
        raise DeviceUnavailable(f"--device cuda: {reason}; use --device cpu or auto")
    return "cpu" if reason else "cuda"


@functools.cache
def cuda_problem() -> str | None:
    """Why CUDA can't run networks on this machine, or None where it can.

    onnxruntime-gpu lists CUDA as available on every machine and quietly falls back to the CPU,
    so this looks for a driver and a GPU first and then at what a real session runs on.
    """
    if _gpu_count() == 0:
        return "no NVIDIA driver with a GPU on this machine"
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "this onnxruntime has no CUDA; pip install 'latent-engine[cuda]'"
    from engine.runtime.session import probe_cuda_session

    return probe_cuda_session()


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpu_name() -> str:
    """What the driver calls the first GPU, or nothing where it can't be asked."""
    name = ctypes.create_string_buffer(_NAME_BYTES)
    driver = _driver()
    if driver is not None:
        driver.cuDeviceGetName(name, _NAME_BYTES, 0)
    return name.value.decode(errors="replace")


def _gpu_count() -> int:
    count, driver = ctypes.c_int(0), _driver()
    if driver is None or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _driver() -> ctypes.CDLL | None:
    """CUDA's driver, if there is one that starts."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    return driver if driver.cuInit(0) == 0 else None
