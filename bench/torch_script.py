"""What a good engineer would write without this project: torch over a memory map, `.npy` out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

BATCH = 256


def encode_with_torch(encoder: Any, data: Path, out: Path, scale: float = 0.1) -> None:
    """Write int8 latents of uint8 images to a `.npy` file."""
    import torch

    samples = np.load(data, mmap_mode="r")
    latents = []
    with torch.no_grad():
        for start in range(0, len(samples), BATCH):
            batch = _to_torch(samples[start : start + BATCH])
            latents.append(_quantised(encoder(batch), scale).numpy())
    np.save(out, np.concatenate(latents))


def encode_and_measure_with_torch(
    encoder: Any, decoder: Any, data: Path, out: Path, scale: float = 0.1
) -> None:
    """The same, and the largest and the mean squared error of each image to a second file."""
    import torch

    samples = np.load(data, mmap_mode="r")
    latents, errors = [], []
    with torch.no_grad():
        for start in range(0, len(samples), BATCH):
            batch = _to_torch(samples[start : start + BATCH])
            coded = _quantised(encoder(batch), scale)
            latents.append(coded.numpy())
            decoded = decoder(coded.float().mul_(scale))
            error = decoded.sub_(batch).mul_(255).round_().abs_().flatten(1)
            errors.append(torch.stack([error.amax(1), error.square_().mean(1)], 1).numpy())
    np.save(out, np.concatenate(latents))
    np.save(out.with_suffix(".errors.npy"), np.concatenate(errors))


def _to_torch(samples: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.array(samples)).unsqueeze(1).float().div_(255)


def _quantised(latents: Any, scale: float) -> Any:
    import torch

    return latents.div_(scale).round_().clamp_(-127, 127).to(torch.int8)
