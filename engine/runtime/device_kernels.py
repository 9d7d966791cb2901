"""What is computed around the networks, on the device that they are on: on CUDA in Triton."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from engine.runtime import error_statistics, residuals
from engine.runtime.device import Device
from engine.runtime.finishing import Finisher

HINT = "pip install 'latent-engine[cuda]' for the kernels"

_LAUNCHING = threading.Lock()


class Kernels(NamedTuple):
    """The launchers of `cuda_kernels`, over tensors `(n, elements)`, queued on the current lane."""

    finish: Callable[..., None]
    error_statistics: Callable[..., None]
    restore: Callable[..., None]
    quantise: Callable[..., None]


def lacks_kernels(device: Device) -> bool:
    """Whether torch or Triton is missing for work on `device`, or torch doesn't see it."""
    try:
        from cuda_kernels.lane import is_usable

        if device == "cuda":
            import cuda_kernels.residuals.kernel  # noqa: F401
    except (ImportError, OSError):  # also a torch that lacks a library
        return True
    return not is_usable(device)


def kernels_on(device: Device) -> Kernels:
    """Those of `device`; see `lacks_kernels`. On the CPU the same in Numba."""
    if device == "cpu":
        return Kernels(_finish, _error_statistics, _restore, _quantise)
    from cuda_kernels.error_statistics import kernel as statistics
    from cuda_kernels.residuals import kernel as quantising

    launchers: tuple[Callable[..., None], ...] = (
        statistics.finish, statistics.error_statistics, quantising.restore, quantising.quantise
    )  # fmt: skip
    return Kernels(*map(_one_at_a_time, launchers))


def _one_at_a_time(launcher: Callable[..., None]) -> Callable[..., None]:
    """Triton compiles and loads a kernel when it is first launched, and doesn't look for others."""

    def launch(*arguments: Any) -> None:
        with _LAUNCHING:
            launcher(*arguments)

    return launch


def _finish(*tensors: Any) -> None:
    reconstruction, samples = _arrays(tensors)
    Finisher(samples.dtype)(reconstruction, samples)


def _error_statistics(*tensors: Any) -> None:
    error_statistics.error_statistics(*_arrays(tensors))


def _restore(*tensors: Any) -> None:
    reconstruction, values, step, samples = _arrays(tensors)
    np.copyto(samples, residuals.restore(reconstruction, values, step, samples.dtype))


def _quantise(*arguments: Any) -> None:
    residuals.quantise(*_arrays(arguments))


def _arrays(arguments: tuple[Any, ...]) -> list[Any]:
    """NumPy's view of what is a tensor."""
    return [value.numpy() if hasattr(value, "numpy") else value for value in arguments]
