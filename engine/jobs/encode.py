"""Encode a dataset into a file of latents, for work outside a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.array_output import check_output, write_array
from engine.jobs.fit import check_fit, read_samples
from engine.runtime.codec import Codec, batches, check_step
from engine.sources import Source, open_source


def encode(
    data: Any,
    out: str | os.PathLike[str],
    codec: Codec | str | os.PathLike[str],
    *,
    key: str | None = None,
    step: float = 1.0,
    features: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, ...]:
    """Encode `data` into `out`, a `.npy` file or a `.zarr` folder; return its shape.

    Args:
        data: a path or an array-like of shape `(samples, *sample_shape)`.
        out: appears whole or not at all.
        codec: a `Codec`, or the path of one.
        key: which array of an `.npz` file or Zarr group.
        step: scale of the quantiser.
        features: write float32 values instead of the integers.
        overwrite: replace what is at `out`.
        device: `auto`, `cpu` or `cuda`.
        progress: called with samples done and samples in all.

    Raises:
        InvalidInput: data that the codec doesn't take, or `out` is taken.
        StorageError: the file system refused.
    """
    check_output(out, overwrite=overwrite)
    check_step(step)
    running = (codec if isinstance(codec, Codec) else Codec.load(codec, device)).on(device)
    latent = running.manifest.latent
    with open_source(data, key=key) as source:
        check_fit(source, running)
        blocks = _encoded(source, running, step, features, progress)
        shape = (len(source), *latent.shape)
        dtype = np.dtype(np.float32) if features else latent.dtype
        write_array(out, blocks, shape, dtype)
    return shape


def _encoded(
    source: Source,
    codec: Codec,
    step: float,
    features: bool,
    progress: Callable[[int, int], None] | None,
) -> Iterator[NDArray[Any]]:
    for start, stop in batches(len(source), codec.batch_samples):
        latents = codec.encode(read_samples(source, start, stop), step)
        yield codec.manifest.latent.dequantise(latents, step) if features else latents
        if progress is not None:
            progress(stop, len(source))
