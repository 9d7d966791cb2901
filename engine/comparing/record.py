"""Finished points on the disk, so that a comparison goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.comparing.method import Method, Setting
from engine.comparing.point import Point
from engine.comparing.split_samples import SplitSamples
from engine.staging import staged

PREVIEW_SAMPLES = 8
_FOLDER = "points"
_VERSION = 1


@dataclass(frozen=True)
class Refusal:
    """A setting that a codec couldn't take, and why."""

    method: str
    setting: str
    reason: str


@dataclass(frozen=True, eq=False)
class Measured:
    """A point, and what its first test samples look like after it."""

    point: Point
    preview: NDArray[Any]


class Record:
    """What was measured, one JSON and one .npy file a point under `folder`; nothing without one."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder / _FOLDER

    def read(
        self, data: SplitSamples, method: Method, setting: Setting
    ) -> Measured | Refusal | None:
        """What is known of a point, None if it has to be measured."""
        if self._folder is None:
            return None
        path = self._folder / _key(data, method, setting)
        try:
            fields = json.loads(path.with_suffix(".json").read_text())
            if "reason" in fields:
                return Refusal(**fields)
            preview = np.load(path.with_suffix(".npy"), allow_pickle=False)
            return Measured(Point.from_json(fields), preview)
        except (OSError, ValueError, TypeError, KeyError):  # absent or damaged: measured again
            return None

    def write(
        self, data: SplitSamples, method: Method, setting: Setting, found: Measured | Refusal
    ) -> None:
        """Keep a point, whole or not at all: its JSON comes last.

        Raises:
            StorageError: the file system refused.
        """
        if self._folder is None:
            return
        path = self._folder / _key(data, method, setting)
        if isinstance(found, Measured):
            with staged(path.with_suffix(".npy")) as part, part.open("wb") as file:
                np.save(file, found.preview)
        fields = asdict(found) if isinstance(found, Refusal) else found.point.to_json()
        with staged(path.with_suffix(".json")) as part:
            part.write_text(json.dumps(fields, indent=1, allow_nan=False))


def _key(data: SplitSamples, method: Method, setting: Setting) -> str:
    """Equal for equal samples, codec and setting."""
    parts = [_VERSION, data.digest, method.name, method.identity, setting.unit, setting.value]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
