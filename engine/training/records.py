"""What training tells about itself, on the way and at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine.training.options import TrainingOptions


@dataclass(frozen=True)
class EpochRecord:
    """Losses of one finished epoch, counted from 1.

    `train_loss` is the mean of what was minimised, penalties and noise included;
    `validation_loss` is the distortion alone, of held-out samples, as the codec will have it.
    """

    epoch: int
    train_loss: float
    validation_loss: float


@dataclass(frozen=True)
class Progress:
    """Where training is: `step` of `steps` in `epoch` of at most `epochs`, all counted from 1.

    `train_loss` is the mean over the epoch so far; `validation_loss` is that of the last finished
    epoch, None before there is one.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    train_loss: float
    validation_loss: float | None


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Trained:
    """A trained autoencoder: modules in evaluation mode on the CPU, and how they came about.

    `validation_rows` are row indices, ascending, of held-out samples: at most 1024, spread.
    """

    encoder: nn.Module
    decoder: nn.Module
    options: TrainingOptions
    history: tuple[EpochRecord, ...]
    best_epoch: int
    training_samples: int
    validation_samples: int
    validation_rows: NDArray[np.int64]

    def record(self) -> dict[str, Any]:
        """Return a JSON-able account of the run that is the same for equal runs."""
        return {
            "options": self.options.as_json(),
            "training_samples": self.training_samples,
            "validation_samples": self.validation_samples,
            "best_epoch": self.best_epoch,
            "history": [asdict(record) for record in self.history],
            "torch": torch.__version__.partition("+")[0],
        }
