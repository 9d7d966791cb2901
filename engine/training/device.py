"""The device that trains."""

from __future__ import annotations

import torch

from engine.errors import DeviceUnavailable, InvalidInput

DEVICES = ("auto", "cpu", "cuda")


def training_device(choice: str) -> torch.device:
    """Return the device to train on: `auto` takes CUDA where it is, `cuda` takes it or fails.

    Raises:
        DeviceUnavailable: CUDA was asked for, and this torch can't use it here.
        InvalidInput: an unknown name.
    """
    if choice not in DEVICES:
        raise InvalidInput(f"device must be {', '.join(DEVICES[:-1])} or cuda, got {choice!r}")
    available = torch.cuda.is_available()
    if choice == "cuda" and not available:
        reason = "finds no GPU that it can use" if torch.version.cuda else "was built without CUDA"
        raise DeviceUnavailable(
            f"device cuda: torch {torch.__version__} {reason}; use device cpu or auto"
        )
    return torch.device("cuda" if available and choice != "cpu" else "cpu")
