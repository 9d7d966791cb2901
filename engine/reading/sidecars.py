"""The arrays carried along with the samples, text as text again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptStore
from engine.store.contents import StoreContents
from engine.store.plan import SIDECARS

_TEXT_EXPANSION = 4  # from UTF-8 to NumPy's text


def sidecar_names(contents: StoreContents) -> list[str]:
    """Names of the arrays carried along."""
    found = [name.partition(f"{SIDECARS}/") for name in contents.part.arrays]
    return [name for before, separator, name in found if separator and not before]


def read_sidecars(contents: StoreContents) -> dict[str, NDArray[Any]]:
    """The arrays carried along, by name, one item a sample.

    Raises:
        CorruptStore: one is damaged, or takes more memory than it may.
    """
    names = sidecar_names(contents)
    arrays = [contents.arrays[f"{SIDECARS}/{name}"] for name in names]
    item_bytes = sum(array.item_bytes * _TEXT_EXPANSION for array in arrays)
    contents.trusted.check_size(contents.part.samples * item_bytes, "all sidecars")
    return {name: _read(contents, f"{SIDECARS}/{name}") for name in names}


def _read(contents: StoreContents, name: str) -> NDArray[Any]:
    values = contents.read_array(name)
    encoding = contents.arrays[name].attributes.get("encoding")
    if encoding is None:
        return values
    if encoding not in ("utf-8", "bytes") or values.dtype != np.uint8 or values.ndim < 2:
        raise CorruptStore(f"{contents.objects}: {name} is no text")
    try:
        text = values.view(f"S{values.shape[-1]}")[..., 0]
        return np.char.decode(text, "utf-8") if encoding == "utf-8" else text
    except ValueError as error:
        raise CorruptStore(f"{contents.objects}: {name} is no text ({error})") from None
