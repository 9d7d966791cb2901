"""Loops compiled by Numba: without the GIL, the machine code kept where a cache can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def compile_loop(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compile a function on its first call for each combination of types.

    `options` are further ones of `numba.njit`. Imports Numba, which takes a while.
    """
    import numba

    compiled: Callable[..., Any]
    try:
        compiled = numba.njit(function, nogil=True, cache=True, **options)
    except RuntimeError:  # neither this folder nor the user's cache folder is writable
        compiled = numba.njit(function, nogil=True, **options)
    return compiled
