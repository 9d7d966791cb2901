"""What a good engineer would write for a GPU without this project: torch, `.npy` out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.torch_script import _quantised

BATCH = 4096


def encode_on_device(
    encoder: Any, decoder: Any, data: Path, out: Path, device: str, scale: float = 0.1
) -> None:
    """Write int8 latents of uint8 images, and the errors of each image if there is a decoder.

    Batches go up from pinned memory, and nothing waits before the last of them.
    """
    import torch

    samples = np.load(data, mmap_mode="r")
    latents, errors = [], []
    with torch.no_grad():
        for start in range(0, len(samples), BATCH):
            staged = torch.from_numpy(np.array(samples[start : start + BATCH]))
            staged = staged.pin_memory() if device == "cuda" else staged
            raw = staged.to(device, non_blocking=True)
            batch = raw.unsqueeze(1).float().div_(255)
            coded = _quantised(encoder(batch), scale)
            latents.append(coded)
            if decoder is not None:
                decoded = decoder(coded.float().mul_(scale))
                error = decoded.sub_(batch).mul_(255).round_().abs_().flatten(1)
                errors.append(torch.stack([error.amax(1), error.square_().mean(1)], 1))
    np.save(out, torch.cat(latents).cpu().numpy())
    if decoder is not None:
        np.save(out.with_suffix(".errors.npy"), torch.cat(errors).cpu().numpy())
