"""Which codec suits data that nobody chose one for."""

from __future__ import annotations

import math

# Beyond, the linear maps of a transform are larger than what they save.
_MOST_ELEMENTS = 4096
_MOST_AXES = 3


def default_architecture(sample_shape: tuple[int, ...], *, targeted: bool) -> str:
    """The architecture for samples of a shape: `transform` up to a few thousand elements.

    Of larger ones `conv`, which has no target, or where one is given `conv-transform`, or `klt` of
    samples with more than three axes.
    """
    if math.prod(sample_shape) <= _MOST_ELEMENTS:
        return "transform"
    if not targeted:
        return "conv"
    return "conv-transform" if len(sample_shape) <= _MOST_AXES else "klt"
