"""Which codec suits data that nobody chose one for."""

from __future__ import annotations

import math

# Beyond, the linear maps of a transform are larger than what they save.
_MOST_ELEMENTS = 4096


def default_architecture(sample_shape: tuple[int, ...], *, targeted: bool) -> str:
    """The architecture for samples of a shape: `transform` up to a few thousand elements.

    Of larger ones `conv`, which has no target, or `klt` where one is given.
    """
    if math.prod(sample_shape) <= _MOST_ELEMENTS:
        return "transform"
    return "klt" if targeted else "conv"
