"""What a training run was asked to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.errors import InvalidInput
from engine.training.distortion import DISTORTIONS


@dataclass(frozen=True)
class TrainingOptions:
    """Everything but the data that decides what training computes; no device, no paths.

    `architecture` is a name, or tells the structure of a user's own modules, whose `latent_dim` is
    None. Training stops after `patience` epochs without a better validation loss.
    """

    architecture: str
    architecture_options: Mapping[str, float]
    latent_dim: int | None
    loss: str
    epochs: int
    batch_size: int
    learning_rate: float
    validation_fraction: float
    patience: int
    seed: int

    def __post_init__(self) -> None:
        """Refuse options that no run could follow."""
        for name in ("latent_dim", "epochs", "batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput(f"{name} must be at least 1, got {value}")
        if self.loss not in DISTORTIONS:
            raise InvalidInput(f"loss must be {' or '.join(DISTORTIONS)}, got {self.loss!r}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InvalidInput(f"learning_rate must be above 0, got {self.learning_rate}")
        if not 0 < self.validation_fraction < 1:
            raise InvalidInput(
                f"validation_fraction must lie between 0 and 1, got {self.validation_fraction}"
            )

    def as_json(self) -> dict[str, Any]:
        """Return the options as a JSON-able mapping."""
        return asdict(self)
