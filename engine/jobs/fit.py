"""Whether a codec takes a dataset, and a job its options."""

from __future__ import annotations

import numpy as np

from engine.errors import InvalidInput
from engine.runtime.codec import Codec
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


def check_step(step: float) -> None:
    """Refuse a scale of the quantiser that the networks, which take it as float32, can't use.

    Raises:
        InvalidInput: it isn't a positive float32.
    """
    limits = np.finfo(np.float32)
    if not float(limits.tiny) <= step <= float(limits.max):
        raise InvalidInput(f"step must be a positive number that float32 holds, got {step}")


def check_counts(**counts: int | None) -> None:
    """Refuse options that count something and are less than one.

    Raises:
        InvalidInput: names the option.
    """
    for name, count in counts.items():
        if count is not None and count < 1:
            raise InvalidInput(f"{name} must be at least 1, got {count}")
