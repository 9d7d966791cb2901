"""The learning curve as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from engine.training.quiet import quiet
from engine.training.records import EpochRecord


def save_learning_curve(history: Sequence[EpochRecord], file: Path | BinaryIO) -> None:
    """Draw training and validation loss over the epochs into a PNG, 1200 x 750 pixels."""
    with quiet("matplotlib"):
        figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
        axes = figure.add_subplot(xlabel="epoch", ylabel="loss")
        epochs = [record.epoch for record in history]
        axes.plot(epochs, [record.train_loss for record in history], ".-", label="training")
        axes.plot(epochs, [record.validation_loss for record in history], ".-", label="validation")
        if all(min(one.train_loss, one.validation_loss) > 0 for one in history):
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
        # Without the library's version in it, equal curves are equal files.
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})
