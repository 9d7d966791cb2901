"""A codec of principal components: the linear autoencoder that needs no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import engine


def pack_principal_components(
    samples: NDArray[Any], components: int, path: Path, *, channels: Any = "auto"
) -> engine.Codec:
    """Fit the leading components of samples of any shape and save them as an int8 codec."""
    import torch
    from torch import nn

    from engine.codec.sample_format import network_view

    shape, channels_last = network_view(samples.shape[1:], channels)
    seen = np.moveaxis(samples, -1, 1) if channels_last else samples
    rows = torch.from_numpy(seen.reshape(len(samples), -1).astype(np.float32))
    encoder, decoder = principal_pair(rows, components)
    return engine.pack(
        nn.Sequential(nn.Flatten(), encoder),
        nn.Sequential(decoder, nn.Unflatten(1, shape)),
        path,
        samples,
        channels=channels,
    )


def principal_pair(rows: Any, components: int) -> tuple[Any, Any]:
    """Linear layers of torch from a tensor `(n, elements)` to its leading components, and back."""
    import torch
    from torch import nn

    mean = rows.mean(dim=0)
    torch.manual_seed(0)  # the decomposition is a randomised one
    directions = torch.pca_lowrank(rows, components + 8, niter=4)[2][:, :components]
    encoder, decoder = nn.Linear(rows.shape[1], components), nn.Linear(components, rows.shape[1])
    with torch.no_grad():
        encoder.weight.copy_(directions.T)
        encoder.bias.copy_(-mean @ directions)
        decoder.weight.copy_(directions)
        decoder.bias.copy_(mean)
    return encoder, decoder
