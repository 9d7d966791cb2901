"""What identifies a dataset: shape, dtype and a digest of spread rows, never a path or a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from engine.sources import Source, spread_rows

FINGERPRINT_ROWS = 64


def identify(source: Source) -> dict[str, Any]:
    """JSON-able identity of a dataset, from at most 64 of its rows."""
    digest = hashlib.sha256()
    for row in spread_rows(len(source), FINGERPRINT_ROWS):
        digest.update(source.read(int(row), int(row) + 1).tobytes())
    return {
        "shape": list(source.shape),
        "dtype": source.dtype.str.lstrip("<>=|"),
        "rows_sha256": digest.hexdigest(),
    }


def identify_all(source: Source, sidecars: Mapping[str, Source]) -> dict[str, Any]:
    """The members of the fingerprint that identify the data and what is carried along."""
    carried = {name: identify(sidecar) for name, sidecar in sidecars.items()}
    return {"data": identify(source), "sidecars": carried}
