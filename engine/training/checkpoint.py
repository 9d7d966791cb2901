"""The state of an unfinished run on disk, so that it can go on exactly where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engine.errors import InvalidInput, StorageError
from engine.sources import Source, spread_rows
from engine.training.batches import ToNetwork
from engine.training.options import TrainingOptions

FINGERPRINT_ROWS = 64
FILE = "state.safetensors"
STARTS_ANEW = "delete the folder to start anew"


class Checkpoint:
    """A folder with one file, whose tensors and JSON header change together or not at all.

    `run` tells which run it belongs to: its options and data, JSON-able.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        self._folder = folder
        self._run = json.loads(json.dumps(run))

    def save(self, tensors: Mapping[str, Tensor], position: Mapping[str, Any]) -> None:
        """Replace what was saved before; `position` is JSON-able.

        Raises:
            StorageError: the file system refused the write.
        """
        # Tensors that share memory can't be saved as they are, and tied weights do.
        apart = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        header = {"run": json.dumps(self._run), "position": json.dumps(position)}
        temporary = self._folder / f"{FILE}.partial"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(save(apart, header))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._folder / FILE)
        except OSError as error:
            raise StorageError(
                f"{self._folder}: the checkpoint can't be saved ({error})"
            ) from error

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the tensors, on the CPU, and the position saved last, or None if there are none.

        Raises:
            InvalidInput: it is damaged, or belongs to a run with other options or data.
            StorageError: the file system refused the read.
        """
        path = self._folder / FILE
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            run, position = (json.loads(header[key]) for key in ("run", "position"))
        except (SafetensorError, KeyError, ValueError) as error:
            raise InvalidInput(f"{path}: not a checkpoint, or damaged: {STARTS_ANEW}") from error
        except OSError as error:
            raise StorageError(f"{path}: the checkpoint can't be read ({error})") from error
        self._check(run)
        return tensors, position

    def _check(self, found: dict[str, Any]) -> None:
        different = [
            f"{name} {found.get(name)}, now {self._run.get(name)}"
            for name in dict.fromkeys([*found, *self._run])
            if found.get(name) != self._run.get(name)
        ]
        if different:
            raise InvalidInput(
                f"{self._folder}: the checkpoint was made with {'; '.join(different)}: "
                f"{STARTS_ANEW}, or train with what it was made with"
            )


def describe_run(options: TrainingOptions, source: Source, to_network: ToNetwork) -> dict[str, Any]:
    """Return what tells a run from others, JSON-able: options, data, and its normalisation.

    The data count by shape, dtype and a digest of 64 spread rows.
    """
    rows = [
        source.read(row, row + 1) for row in spread_rows(len(source), FINGERPRINT_ROWS).tolist()
    ]
    return options.as_json() | {
        "data of shape": list(source.shape),
        "data of dtype": source.dtype.name,
        "data with digest": _digest(rows),
        "normalised data with digest": _digest([to_network(row) for row in rows]),
    }


def _digest(arrays: list[NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
