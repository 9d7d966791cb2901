"""SPERR: wavelets and a set-partitioning coder, outliers corrected to an error bound."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.layouts import STACK, VOLUME, Array, Shape
from engine.comparing.peers.peer import Peer, Refused, as_floats, from_floats


class Sperr(Peer):
    """SPERR to a point-wise error; floats and small integers, two dimensions or more."""

    name, package, layouts = "SPERR", "imagecodecs", (STACK, VOLUME)

    def encode(self, array: Array, setting: float) -> bytes:
        """Code to an absolute bound."""
        import imagecodecs

        values, tolerance = as_floats(array, setting)
        if not np.isfinite(values).all():
            raise Refused("takes finite values only")
        planes = values.squeeze()  # an axis of one element aborts the process
        if planes.ndim > 3:
            planes = planes.reshape(-1, *planes.shape[-2:])
        if planes.ndim < 2:
            raise Refused(f"takes two or three dimensions, not {planes.ndim}")
        return bytes(imagecodecs.sperr_encode(planes, level=tolerance, mode="pwe", numthreads=1))

    def decode(self, encoded: bytes, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Values within the bound of what was coded, if SPERR keeps its word."""
        import imagecodecs

        return from_floats(imagecodecs.sperr_decode(encoded, numthreads=1).reshape(shape), dtype)
