"""The errors that a store recorded of its samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidInput
from engine.quality import decode_errors
from engine.store.contents import StoreContents
from engine.store.plan import QUALITY, QUALITY_COLUMNS

_VALUE_BYTES = 4  # as float32


def read_quality(contents: StoreContents) -> Mapping[str, NDArray[np.float32]]:
    """`max_abs_error` and `mse` of every sample, float32 `(samples,)`, rounded up.

    Raises:
        InvalidInput: the store was written without.
    """
    if QUALITY not in contents.arrays:
        raise InvalidInput(f"{contents.objects}: was written without quality (--no-quality)")
    size_bytes = contents.part.samples * _VALUE_BYTES
    contents.trusted.check_size(size_bytes, "the quality of all samples")
    codes, levels = contents.read_array(QUALITY), contents.error_levels
    with np.errstate(over="ignore"):
        columns = (levels, levels**2)
    return {
        name: decode_errors(codes[:, column], columns[column])
        for column, name in enumerate(QUALITY_COLUMNS)
    }
