"""Codecs of our own that a comparison trains, on the training samples alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine import __version__
from engine.comparing.latent_store import LatentStore
from engine.comparing.record import Refusal
from engine.comparing.split_samples import SplitSamples
from engine.errors import CorruptCodec, EngineError, InvalidInput, StorageError, one_line
from engine.jobs.default_architecture import default_architecture
from engine.jobs.train import FOR_A_RATE, train
from engine.runtime.codec import Codec

if TYPE_CHECKING:
    from engine.training import Progress

Report = Callable[[int, int, str], None]

KLT = "klt"
_RATIOS = (100, 40, 16)
"""Raw bytes to bytes of latents: from what is hardly recognisable to what is hardly lossy."""
_STEPS = (1.4, 1.0, 0.7)  # one codec a rate, and the rates between
_FOLDER = "codecs"


@dataclass(frozen=True)
class Recipe:
    """A codec to train: its architecture, the bytes that a sample's latents may take.

    `for_samples` share its decoder, which is the smaller the fewer they are.
    """

    arch: str
    target_bytes: float
    for_samples: int

    @property
    def rate(self) -> str:
        """What tells it from others of its architecture."""
        return f"{self.target_bytes:.3g} B"

    def __str__(self) -> str:
        return f"{self.arch} for {self.rate}"


def default_architectures(sample_shape: Sequence[int]) -> tuple[str, ...]:
    """What is trained where nobody chooses: the linear codec, and the network for such samples."""
    chosen = default_architecture(tuple(sample_shape), targeted=True)
    return tuple(dict.fromkeys((KLT, chosen)))


def train_codecs(
    data: SplitSamples,
    architectures: Sequence[str],
    folder: Path,
    for_samples: int,
    report: Report | None,
) -> tuple[list[LatentStore], list[Refusal]]:
    """Train every architecture at its rates, or take what `folder` has from an earlier run.

    A codec is trained once for equal training samples; a training that was cut off goes on. What
    an architecture refuses, such as data without any variance, is told beside the stores.

    Raises:
        StorageError: the file system refused.
    """
    recipes = [
        Recipe(arch, data.sample_bytes / ratio, for_samples)
        for arch in architectures
        for ratio in _RATIOS
    ]
    codecs: dict[str, dict[str, Codec]] = {arch: {} for arch in architectures}
    refusals = []
    for done, recipe in enumerate(recipes):
        try:
            codecs[recipe.arch][recipe.rate] = _trained(
                recipe, data, folder / _FOLDER, _noting(report, done, len(recipes), str(recipe))
            )
        except StorageError:
            raise
        except EngineError as error:
            refusals.append(Refusal(recipe.arch, recipe.rate, one_line(error)))
    stores = [
        LatentStore(arch, found, _STEPS, for_samples) for arch, found in codecs.items() if found
    ]
    return stores, refusals


def check_architectures(names: Sequence[str]) -> None:
    """Raise InvalidInput for a name that can't be trained here."""
    unknown = sorted(set(names) - set(FOR_A_RATE))
    if unknown:
        raise InvalidInput(f"can't train {unknown} to compare; there are {list(FOR_A_RATE)}")


def _trained(
    recipe: Recipe, data: SplitSamples, folder: Path, progress: Callable[[Progress], None]
) -> Codec:
    wanted = f"{recipe.arch}-{recipe.target_bytes:.4g}B-for-{recipe.for_samples}"
    name = f"{wanted}-{__version__}-{data.digest[:16]}.codec"
    try:
        return Codec.load(folder / name, "cpu")
    except (InvalidInput, CorruptCodec):  # not there, or damaged
        folder.mkdir(parents=True, exist_ok=True)
    codec = train(
        data.train,
        folder / name,
        arch=recipe.arch,
        target_bytes=recipe.target_bytes,
        for_samples=recipe.for_samples,
        fill_gaps=data.has_gaps,
        overwrite=True,
        progress=progress,
    )
    return codec.on("cpu")


def _noting(report: Report | None, done: int, total: int, what: str) -> Callable[[Progress], None]:
    def note(state: Progress) -> None:
        if report is not None:
            share = (state.epoch - 1 + state.step / state.steps) / state.epochs
            report(done, total, f"training {what}, {share:.0%}")

    return note
