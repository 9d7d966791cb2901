"""Whether a codec takes a dataset and each of its samples, and a job its options."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidInput
from engine.runtime.codec import Codec, check_finite
from engine.sources import Source


def check_fit(source: Source, codec: Codec) -> None:
    """Refuse data that the codec wasn't made for.

    Raises:
        InvalidInput: another dtype or sample shape.
    """
    if source.dtype != codec.dtype or source.sample_shape != codec.sample_shape:
        raise InvalidInput(
            f"{source.name}: holds {source.dtype} samples of shape {source.sample_shape}, "
            f"the codec takes {codec.dtype} of shape {codec.sample_shape}; train one on this data"
        )


def read_samples(
    source: Source, start: int, stop: int, *, allow_nonfinite: bool = False
) -> NDArray[Any]:
    """Read the samples [start, stop) and refuse what would silently become ordinary latents.

    Raises:
        InvalidInput: a source that returns another shape than it had, or a value that isn't finite.
        StorageError: the file system refused.
    """
    samples, expected = source.read(start, stop), (stop - start, *source.sample_shape)
    if samples.shape != expected:
        raise InvalidInput(
            f"{source.name}: rows {start}:{stop} came in shape {samples.shape}, expected {expected}"
        )
    if not allow_nonfinite:
        check_finite(samples, start)
    return samples


def check_counts(**counts: int | None) -> None:
    """Refuse options that count something and aren't whole numbers of at least one.

    Raises:
        InvalidInput: names the option.
    """
    for name, count in counts.items():
        if count is None:
            continue
        if isinstance(count, bool) or not isinstance(count, int | np.integer):
            raise InvalidInput(f"{name} must be a whole number, got {count!r:.99}")
        if count < 1:
            raise InvalidInput(f"{name} must be at least 1, got {count}")
