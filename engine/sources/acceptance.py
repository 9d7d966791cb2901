"""Which shapes and dtypes the engine takes as samples, and as sidecars (labels, ids)."""

from typing import Any, Literal

import numpy as np

from engine.errors import InvalidInput

Dtypes = Literal["numbers", "any"]
"""What a caller accepts: "numbers" for samples; "any" for sidecars, which may also be
one-dimensional, boolean or fixed-width strings."""

_NUMBERS = "integers and floats of 8 to 64 bits"
_HINTS = {
    "b": "convert it with .astype('uint8')",
    "c": "store real and imaginary parts along an axis of their own",
    "M": "convert it with .astype('int64')",
    "m": "convert it with .astype('int64')",
    "O": "convert it to a plain array of numbers",
    "T": "convert it with .astype('U')",
}


def check_array(
    where: object, shape: tuple[int, ...], dtype: np.dtype[Any], accept: Dtypes
) -> None:
    """Refuse an array that can't be read as samples (`accept` "any": as a sidecar).

    Raises:
        InvalidInput: names `where`, what was expected and what was found.
    """
    check_dtype(where, dtype, accept)
    check_shape(where, shape, accept)


def check_dtype(where: object, dtype: np.dtype[Any], accept: Dtypes) -> None:
    """Refuse a dtype that is neither integer nor float of 8 to 64 bits (nor, for "any", b, U, S).

    Raises:
        InvalidInput: says which dtypes work, and how to get there.
    """
    is_number = dtype.kind in "iuf" and dtype.itemsize <= 8
    is_sidecar = dtype.kind in "bUS" and dtype.itemsize > 0
    if is_number or (accept == "any" and is_sidecar):
        return
    wanted = _NUMBERS if accept == "numbers" else f"{_NUMBERS}, bool, fixed-width strings"
    advice = f"; {_HINTS[dtype.kind]}" if dtype.kind in _HINTS else ""
    raise InvalidInput(f"{where}: expected {wanted}, found dtype {dtype}{advice}")


def check_shape(where: object, shape: tuple[int, ...], accept: Dtypes) -> None:
    """Refuse a shape without samples, or with samples that hold nothing.

    Raises:
        InvalidInput: names the shape that was found.
    """
    if accept == "numbers" and len(shape) == 1:
        raise InvalidInput(
            f"{where}: a dataset needs at least two axes: (samples, ...); found shape {shape}; "
            "where each sample is one number, use reshape(-1, 1)"
        )
    if not shape:
        raise InvalidInput(f"{where}: expected an array of samples, found a single value, shape ()")
    if shape[0] < 1:
        raise InvalidInput(f"{where}: expected at least one sample, found none, shape {shape}")
    if min(shape) < 1:
        raise InvalidInput(f"{where}: expected samples with elements, found shape {shape}")
