"""The main job on real images: train, compress, read back on demand, verify, and compare codecs."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import engine
from bench.digits import load_digits
from engine.cli.commands import size_text, training_bar
from engine.quality import psnr_db

TRAINED = 4000  # the others are held out: no codec sees them before it compresses them
TARGET_BYTES = 16
CLASSIC_LATENTS = 18  # of 8 bits, which take 16 bytes once they are coded
FOR_SAMPLES = 70_000  # MNIST has so many, of which these are a part; they would share the networks
CLASSIC_EPOCHS = 15
SHOWN = 10
# By name: how each is trained. A classic autoencoder has no rate: a latent is a byte.
CODECS: dict[str, dict[str, Any]] = {
    "transform": {"target_bytes": TARGET_BYTES, "for_samples": FOR_SAMPLES},
    "klt": {"arch": "klt", "target_bytes": TARGET_BYTES},
    "classic": {"arch": "conv", "latent_dim": CLASSIC_LATENTS, "epochs": CLASSIC_EPOCHS},
}
SUMMARY = {
    "transform": "the default: KLT and small networks, trained for rate and distortion",
    "klt": "the linear transform, in closed form",
    "classic": f"a convolutional autoencoder of {CLASSIC_LATENTS} int8 latents",
}


@dataclass(frozen=True)
class Made:
    """A codec's store: its report, the PSNR of the held-out samples, and seconds of training."""

    store: Path
    report: engine.CompressionReport
    held_out_psnr_db: float
    training_s: float


def main(folder: Path) -> None:
    """Run the demo in `folder`, which is made anew."""
    folder.mkdir(parents=True, exist_ok=True)
    digits, labels = load_digits()
    data, trained = folder / "digits.npy", folder / "training.npy"
    np.save(data, digits)
    np.save(folder / "labels.npy", labels)
    np.save(trained, digits[:TRAINED])

    print(f"1. train codecs on {TRAINED:,} digits for {TARGET_BYTES} bytes each, compress all")
    made = {name: make(name, folder, data, trained) for name in CODECS}

    print("2. read back on demand from the store of the default codec")
    store_path = made["transform"].store
    with engine.open(store_path) as store:
        print(f"   store[7] -> {store[7].shape}, store[[99, 3, 3]] -> {store[[99, 3, 3]].shape}")
        began = time.perf_counter()
        rate = len(np.asarray(store)) / (time.perf_counter() - began)
        print(f"   np.asarray(store): {rate:,.0f} samples/s")

    print("3. verify every object, and every sample against the original")
    result = engine.verify(store_path, against=data)
    if not result.ok:
        sys.exit("verification failed: " + "; ".join(result.problems))
    print(f"   ok: {result.objects_checked} objects, {result.samples_compared} samples\n")
    show(made)
    draw(digits, made, folder / "demo.png")
    print(f"\npicture: {folder / 'demo.png'}\n{NEXT_STEPS}")


def make(name: str, folder: Path, data: Path, trained: Path) -> Made:
    """Train a codec and compress the data with it, labels beside them."""
    print(f"   {name}: {SUMMARY[name]}")
    began = time.perf_counter()
    with training_bar() as progress:
        codec = engine.train(
            trained, folder / f"{name}.codec", **CODECS[name], overwrite=True, progress=progress
        )
    training_s = time.perf_counter() - began
    path = folder / f"{name}.zarr"
    sidecars = {"labels": folder / "labels.npy"}
    report = engine.compress(data, path, codec, sidecars=sidecars, overwrite=True)
    with engine.open(path) as store:
        error = float(np.mean(store.quality["mse"][TRAINED:]))
    return Made(path, report, psnr_db(error, 255.0), training_s)


def show(made: dict[str, Made]) -> None:
    """Print what each codec makes of the same samples, side by side."""
    samples = next(iter(made.values())).report.samples
    latents = {name: one.report.latent_bytes / samples for name, one in made.items()}
    shared = {name: one.report.codec_bytes / FOR_SAMPLES for name, one in made.items()}
    rows = {
        "PSNR of held-out samples": [f"{one.held_out_psnr_db:.2f} dB" for one in made.values()],
        "latents, bytes a sample": [f"{size:.1f}" for size in latents.values()],
        f"with networks, of {FOR_SAMPLES:,}": [f"{latents[n] + shared[n]:.1f}" for n in made],
        "networks in the store": [size_text(one.report.codec_bytes) for one in made.values()],
        "whole store": [size_text(one.report.stored_bytes) for one in made.values()],
        "ratio, all counted": [f"{one.report.ratio:.1f}" for one in made.values()],
        "training": [f"{one.training_s:.0f} s" for one in made.values()],
    }
    print(f"{samples:,} samples, {size_text(next(iter(made.values())).report.raw_bytes)}")
    print(f"{'':26}" + "".join(f"{name:>18}" for name in made))
    for row, cells in rows.items():
        print(f"{row:26}" + "".join(f"{cell:>18}" for cell in cells))


def draw(originals: np.ndarray, made: dict[str, Made], path: Path) -> None:
    """Draw held-out originals above what each codec makes of them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = slice(TRAINED, TRAINED + SHOWN)
    rows = {"original": originals[shown]}
    for name, one in made.items():
        with engine.open(one.store) as store:
            rows[f"{name}\n{one.held_out_psnr_db:.1f} dB"] = store[shown]
    figure = Figure(figsize=(SHOWN, len(rows) * 1.1), layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), SHOWN)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    figure.savefig(path, dpi=80)


NEXT_STEPS = """
the same with your own data (.npy, .npz, IDX, Zarr or a folder of images):
  .venv/bin/engine train DATA my.codec
  .venv/bin/engine compress DATA my.zarr --codec my.codec
  .venv/bin/engine decode my.zarr some.npy --rows 0:10"""


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
