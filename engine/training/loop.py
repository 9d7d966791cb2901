"""The training loop: steps, epochs, early stopping, and all the state that a resume needs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import InvalidInput
from engine.training.architectures import Architecture
from engine.training.batches import TrainingBatches
from engine.training.checkpoint import Checkpoint
from engine.training.distortion import DISTORTIONS
from engine.training.interrupts import uninterrupted
from engine.training.options import TrainingOptions
from engine.training.records import EpochRecord, Progress, Report

SAVE_EVERY_S = 60
REPORTS_PER_EPOCH = 100
WARM_UP = 0.1

ToDevice = Callable[[NDArray[Any]], Tensor]
"""Maps a raw batch to what the network sees, on the device that trains."""


class TrainingLoop:
    """One run; `run` carries it to its end from wherever `restore` put it."""

    def __init__(
        self,
        model: Architecture,
        options: TrainingOptions,
        batches: TrainingBatches,
        validation: NDArray[Any],
        to_device: ToDevice,
    ) -> None:
        self.model = model
        self.history: list[EpochRecord] = []
        self.best_epoch = 0
        self._best: dict[str, Tensor] = {}
        self._options = options
        self._batches = batches
        self._validation = validation
        self._to_device = to_device
        self._distortion = DISTORTIONS[options.loss]
        self._device = next(model.parameters()).device
        self._optimizer = torch.optim.AdamW(
            model.parameter_groups(), betas=(0.9, 0.95), weight_decay=0.0, fused=True
        )
        self._step = 0
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=self._device)

    def run(self, checkpoint: Checkpoint | None, report: Report) -> None:
        """Train until the last epoch, or until patience is spent; end with the best weights.

        Raises:
            InvalidInput: the loss is no longer finite.
            KeyboardInterrupt: the run was interrupted; its state is saved first.
        """
        save = self._saver(checkpoint)
        try:
            while not self._finished:
                self._run_epoch(save, report)
        except KeyboardInterrupt:
            save(0)
            raise
        self.model.load_state_dict(self._best)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that `restore` needs: tensors by name, and a JSON-able position."""
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in self._best.items()}
        for index, values in self._optimizer.state_dict()["state"].items():
            tensors |= {f"adam/{index}/{name}": value for name, value in values.items()}
        position = {
            "step": self._step,
            "best_epoch": self.best_epoch,
            "history": [asdict(record) for record in self.history],
        }
        return tensors | {"loss_sum": self._loss_sum}, position

    def restore(self, tensors: dict[str, Tensor], position: dict[str, Any]) -> None:
        """Go on from a state that another run of the same options and data returned."""
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "adam": {}}
        for name, value in tensors.items():
            kind, _, rest = name.partition("/")
            groups.get(kind, {})[rest] = value
        self.model.load_state_dict(groups["model"])
        self._best = {name: value.to(self._device) for name, value in groups["best"].items()}
        adam: dict[int, dict[str, Tensor]] = {}
        for name, value in groups["adam"].items():
            index, _, rest = name.partition("/")
            adam.setdefault(int(index), {})[rest] = value
        settings = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": adam, "param_groups": settings})
        self._loss_sum.copy_(tensors["loss_sum"])
        self._step = position["step"]
        self.best_epoch = position["best_epoch"]
        self.history = [EpochRecord(**record) for record in position["history"]]

    @property
    def _epoch(self) -> int:
        """The epoch in progress, counted from 1."""
        return len(self.history) + 1

    @property
    def _finished(self) -> bool:
        stale = len(self.history) - self.best_epoch
        return len(self.history) == self._options.epochs or stale >= self._options.patience

    def _saver(self, checkpoint: Checkpoint | None) -> Callable[[float], None]:
        """A function that saves the state if the last save is at least so many seconds old."""
        saved = time.monotonic()

        def save(age_s: float) -> None:
            nonlocal saved
            if checkpoint is not None and time.monotonic() - saved >= age_s:
                checkpoint.save(*self.state())
                saved = time.monotonic()

        return save

    def _run_epoch(self, save: Callable[[float], None], report: Report) -> None:
        report_every = math.ceil(self._batches.steps / REPORTS_PER_EPOCH)
        self.model.train()
        for batch in self._batches.epoch(self._epoch, self._step):
            with uninterrupted():
                self._train(self._to_device(batch))
            if self._step % report_every == 0 and self._step < self._batches.steps:
                report(self._progress())
                save(SAVE_EVERY_S)
        progress, validation_loss = self._progress(), self._validate()
        with uninterrupted():
            self._finish_epoch(progress.train_loss, validation_loss)
        save(0)
        report(replace(progress, validation_loss=validation_loss))

    def _train(self, batch: Tensor) -> None:
        # Every step draws its noise from a seed of its own, so a resumed run draws the same.
        torch.manual_seed(_noise_seed(self._options.seed, self._epoch, self._step))
        with self._mixed_precision():
            loss = self.model.training_loss(batch, self._distortion)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        for group in self._optimizer.param_groups:
            rate = self._options.learning_rate * group.get("pace", 1.0)
            group["lr"] = rate * self._schedule()
        self._optimizer.step()
        self._loss_sum += loss.detach()
        self._step += 1

    def _finish_epoch(self, train_loss: float, validation_loss: float) -> None:
        if validation_loss < min((past.validation_loss for past in self.history), default=math.inf):
            self.best_epoch = self._epoch
            self._best = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.history.append(EpochRecord(self._epoch, train_loss, validation_loss))
        self._step = 0
        self._loss_sum.zero_()

    @torch.no_grad()
    def _validate(self) -> float:
        """Mean loss of the held-out samples."""
        self.model.eval()
        total = 0.0
        for start in range(0, len(self._validation), self._options.batch_size):
            batch = self._to_device(self._validation[start : start + self._options.batch_size])
            with self._mixed_precision():
                total += self.model.validation_loss(batch, self._distortion).item() * len(batch)
        return self._finite(total / len(self._validation))

    def _progress(self) -> Progress:
        return Progress(
            epoch=self._epoch,
            epochs=self._options.epochs,
            step=self._step,
            steps=self._batches.steps,
            train_loss=self._finite(self._loss_sum.item() / self._step),
            validation_loss=self.history[-1].validation_loss if self.history else None,
        )

    def _finite(self, loss: float) -> float:
        if not math.isfinite(loss):
            raise InvalidInput(
                f"training diverged in epoch {self._epoch}: the loss is {loss}; lower the learning "
                f"rate (now {self._options.learning_rate:g}), or look for NaN in the data"
            )
        return loss

    def _schedule(self) -> float:
        """Share of the learning rate for this step: a linear warm-up, then a cosine to 0."""
        steps = self._batches.steps
        done = ((self._epoch - 1) * steps + self._step + 1) / (steps * self._options.epochs)
        if done < WARM_UP:
            return done / WARM_UP
        return (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2

    def _mixed_precision(self) -> torch.autocast:
        fast = self._device.type == "cuda" and torch.cuda.is_bf16_supported(False)
        return torch.autocast(self._device.type, torch.bfloat16, enabled=fast)


def _noise_seed(seed: int, epoch: int, step: int) -> int:
    return int(np.random.SeedSequence((seed, epoch, step)).generate_state(1, np.uint64)[0])
