"""Training from data and options to a trained pair of networks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.sources import Source
from engine.training.architectures import (
    Architecture,
    OwnModules,
    choose_architecture,
)
from engine.training.batches import (
    RowSplit,
    ToNetwork,
    TrainingBatches,
    count_rows,
    read_rows,
    split_rows,
    spread_over,
)
from engine.training.checkpoint import Checkpoint, describe_run
from engine.training.device import training_device
from engine.training.loop import ToDevice, TrainingLoop
from engine.training.options import TrainingOptions
from engine.training.records import (
    NAMED_VALIDATION_ROWS,
    Progress,
    Report,
    Trained,
)

MEAN_BATCHES = 16


def fit(
    source: Source,
    *,
    network_shape: tuple[int, ...],
    to_network: ToNetwork,
    arch: str | tuple[nn.Module, nn.Module],
    latent_dim: int,
    loss: str = "mse",
    epochs: int = 20,
    batch_size: int = 64,
    learning_rate: float | None = None,
    validation_fraction: float = 0.1,
    patience: int = 10,
    seed: int = 0,
    device: str = "auto",
    arch_options: Mapping[str, float] | None = None,
    checkpoint: Path | None = None,
    progress: Report | None = None,
) -> Trained:
    """Train on the rows of `source` and return the networks with their best weights.

    `arch` is a name or a user's own encoder and decoder, of which copies are trained. A run that
    was cut off goes on from its `checkpoint` folder, on the CPU to the very same weights; all
    options but the device must be equal, `epochs` too, which the learning rate follows.

    Raises:
        InvalidInput: what is given doesn't fit together, or the loss is no longer finite.
        DeviceUnavailable: CUDA was asked for and isn't there.
        StorageError: the file system refused a read or a write.
    """
    choice = choose_architecture(arch, arch_options or {})
    options = TrainingOptions(
        architecture=choice.name,
        architecture_options=choice.options,
        latent_dim=latent_dim if isinstance(arch, str) else None,
        loss=loss,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=choice.learning_rate if learning_rate is None else learning_rate,
        validation_fraction=validation_fraction,
        patience=patience,
        seed=seed,
    )
    with seeded(seed, device) as on:
        model = choice.build(network_shape, latent_dim, **choice.options).to(on)
        split = split_rows(source, validation_fraction, seed)
        return run_training(model, options, source, split, to_network, checkpoint, progress)


@contextmanager
def seeded(seed: int, device: str) -> Iterator[torch.device]:
    """Draw from `seed` in the block, which gets the device to train on; then as before.

    Raises:
        DeviceUnavailable: CUDA was asked for and isn't there.
    """
    on = training_device(device)
    with torch.random.fork_rng([torch.cuda.current_device()] if on.type == "cuda" else []):
        torch.manual_seed(seed)
        yield on


def run_training(
    model: Architecture,
    options: TrainingOptions,
    source: Source,
    split: RowSplit,
    to_network: ToNetwork,
    folder: Path | None,
    report: Report | None,
) -> Trained:
    """Train `model` on its device, from the checkpoint in `folder` on, and bring it to the CPU.

    Raises:
        InvalidInput: the loss is no longer finite, or the checkpoint is another run's.
        StorageError: the file system refused a read or a write.
    """
    device = next(model.parameters()).device

    def to_device(raw: NDArray[Any]) -> Tensor:
        return torch.from_numpy(to_network(raw)).to(device)

    batches = TrainingBatches(source, split.training, options.batch_size, options.seed)
    run = describe_run(options, source, to_network)
    checkpoint = Checkpoint(folder, run) if folder else None
    saved = checkpoint.load() if checkpoint else None
    if saved is None:
        _start(model, itertools.islice(batches.epoch(1), MEAN_BATCHES), to_device)
    loop = TrainingLoop(model, options, batches, read_rows(source, split.validation), to_device)
    if saved is not None:
        loop.restore(*saved)
    loop.run(checkpoint, report or _silent)
    model.cpu().eval()
    return Trained(
        encoder=model.encoder,
        decoder=model.decoder,
        options=options.as_json(),
        history=tuple(loop.history),
        best_epoch=loop.best_epoch,
        training_samples=count_rows(split.training),
        validation_samples=count_rows(split.validation),
        validation_rows=spread_over(split.validation, NAMED_VALIDATION_ROWS),
    )


def _start(model: Architecture, raw_batches: Iterable[NDArray[Any]], to_device: ToDevice) -> None:
    """Look at the first batches: do own modules take them, and what is their mean?"""
    means = []
    for raw in raw_batches:
        batch = to_device(raw)
        means.append(batch.mean(0))
        if isinstance(model, OwnModules) and len(means) == 1:
            model.eval().check(batch[:2])
    model.start_at(torch.stack(means).mean(0))


def _silent(_: Progress) -> None:
    """Report nothing."""
