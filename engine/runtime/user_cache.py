"""What may be kept between processes and lost at any time: small JSON files of the user's."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from engine.errors import StorageError
from engine.staging import staged

_FOLDER = "latent-engine"
_MAX_BYTES = 64 * 1024


def read_cached(name: str) -> Any:
    """The JSON document of that name, or None where there is none that can be read."""
    try:
        with (cache_folder() / name).open("rb") as file:
            return json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RuntimeError):  # also no home folder, and JSON nested too deep
        return None


def write_cached(name: str, document: Any) -> None:
    """Keep a document, whole or not at all; where nothing can be written, it is not kept."""
    with (
        contextlib.suppress(OSError, RuntimeError, StorageError),
        staged(cache_folder() / name) as file,
    ):
        file.write_text(json.dumps(document))


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/latent-engine`, else the one in the platform's own cache folder.

    Raises:
        RuntimeError: the user has no home folder.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():
        return Path(named) / _FOLDER
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / _FOLDER
    parent = "Library/Caches" if sys.platform == "darwin" else ".cache"
    return Path.home() / parent / _FOLDER
