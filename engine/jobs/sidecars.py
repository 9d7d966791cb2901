"""Arrays carried along with the samples: labels, ids, coordinates."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidInput
from engine.runtime.calibration import blocks
from engine.sources import Source, open_source
from engine.store.plan import SidecarFormat


@dataclass(frozen=True)
class Sidecar:
    """One array to carry along; text is stored as zero-padded bytes, that of Python as UTF-8."""

    source: Source
    format: SidecarFormat

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows as they are stored."""
        rows = self.source.read(start, stop)
        return _utf8(rows, self.format.item_shape[-1]) if rows.dtype.kind in "US" else rows


@dataclass(frozen=True)
class LostSidecar:
    """A sidecar that lies in a store, but whose source isn't at hand."""

    name: str
    format: SidecarFormat

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Nothing can be read.

        Raises:
            InvalidInput: always; it says what to do.
        """
        raise InvalidInput(
            f"sidecar {self.name!r} is damaged at samples {start} to {stop - 1}, too; "
            f"pass it (--with {self.name}=PATH)"
        )


def open_sidecars(
    sidecars: Mapping[str, Any] | Sequence[Any] | None, samples: int
) -> dict[str, Sidecar]:
    """Open arrays by name; those of a list of paths are named after their files.

    Raises:
        InvalidInput: an array's length is not that of the data, or a name is taken or unusable.
    """
    if sidecars is None:
        return {}
    named = sidecars if isinstance(sidecars, Mapping) else _named_after_files(sidecars)
    opened = {}
    for name, data in named.items():
        if not re.fullmatch(r"(?!__)[\w-]+", str(name)):
            raise InvalidInput(f"sidecar name {name!r}: use letters, digits, '_' and '-'")
        source = open_source(data, dtypes="any")
        if len(source) != samples:
            raise InvalidInput(f"sidecar {name!r} has {len(source)} rows, the data has {samples}")
        opened[str(name)] = Sidecar(source, _format(source))
    return opened


def _named_after_files(paths: Sequence[Any]) -> dict[str, Any]:
    if not isinstance(paths, list | tuple) or not all(
        isinstance(path, str | os.PathLike) for path in paths
    ):
        raise InvalidInput("sidecars must be a mapping of names to arrays, or a list of paths")
    named: dict[str, Any] = {}
    for path in map(str, paths):
        name, equals, target = path.partition("=")
        if not equals or Path(path).exists():
            name, target = Path(path).name.split(".")[0], path
        if name in named:
            raise InvalidInput(f"two sidecars are called {name!r}; name one as NAME=PATH")
        named[name] = target
    return named


def _format(source: Source) -> SidecarFormat:
    if source.dtype.kind not in "US":
        return SidecarFormat(source.sample_shape, source.dtype, {})
    width = max(_encoded(block).dtype.itemsize for _, block in blocks(source))
    shape = (*source.sample_shape, max(1, width))
    encoding = "utf-8" if source.dtype.kind == "U" else "bytes"
    return SidecarFormat(shape, np.dtype(np.uint8), {"encoding": encoding})


def _encoded(rows: NDArray[Any]) -> NDArray[np.bytes_]:
    return np.char.encode(rows, "utf-8") if rows.dtype.kind == "U" else rows


def _utf8(rows: NDArray[Any], width: int) -> NDArray[np.uint8]:
    padded = np.ascontiguousarray(_encoded(rows).astype(f"S{width}"))
    return padded.view(np.uint8).reshape(*rows.shape, width)
