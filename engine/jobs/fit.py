"""Whether a codec takes a dataset."""

from __future__ import annotations

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
