"""What training tells about itself, on the way and at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine.training.rate import RatePoint


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


NAMED_VALIDATION_ROWS = 1024

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Trained:
    """A trained autoencoder: modules in evaluation mode on the CPU, and how they came about.

    `options` is JSON-able; `validation_rows` are row indices, ascending, of held-out samples: at
    most 1024, spread. `rate` is what a codec trained for its rate makes of them: its latents are
    in one unit, of which its step is the distance of two integers. None for all others.
    """

    encoder: nn.Module
    decoder: nn.Module
    options: Mapping[str, Any]
    history: tuple[EpochRecord, ...]
    best_epoch: int
    training_samples: int
    validation_samples: int
    validation_rows: NDArray[np.int64]
    rate: RatePoint | None = None

    def record(self) -> dict[str, Any]:
        """Return a JSON-able account of the run that is the same for equal runs."""
        rate = {} if self.rate is None else {"rate": self.rate.as_json()}
        return {
            "options": dict(self.options),
            "training_samples": self.training_samples,
            "validation_samples": self.validation_samples,
            "best_epoch": self.best_epoch,
            "history": [asdict(record) for record in self.history],
            "torch": torch.__version__.partition("+")[0],
            **rate,
        }
