"""The main job on real images: train, export, compress, read back on demand, verify."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import engine
from bench.digits import load_digits
from engine.cli.commands import print_table, size_text, training_bar

LATENT_DIM = 32
EPOCHS = 15
SHOWN = 10


def main(folder: Path) -> None:
    """Run the demo in `folder`, which is made anew."""
    folder.mkdir(parents=True, exist_ok=True)
    digits, labels = load_digits()
    np.save(folder / "digits.npy", digits)
    np.save(folder / "labels.npy", labels)
    data, store_path = folder / "digits.npy", folder / "digits.zarr"

    print(f"1. train a convolutional autoencoder on {len(digits)} digits, export it to ONNX")
    began = time.perf_counter()
    with training_bar() as show_progress:
        codec = engine.train(
            data, folder / "digits.codec", arch="conv", latent_dim=LATENT_DIM, epochs=EPOCHS,
            overwrite=True, progress=show_progress,
        )  # fmt: skip
    print(f"   {time.perf_counter() - began:.0f} s on {codec.device}")

    print("2. compress the dataset into a latent store, its labels beside it")
    sidecars = {"labels": folder / "labels.npy"}
    report = engine.compress(data, store_path, codec, sidecars=sidecars, overwrite=True)

    print("3. read back on demand")
    with engine.open(store_path) as store:
        print(f"   store[7] -> {store[7].shape}, store[[99, 3, 3]] -> {store[[99, 3, 3]].shape}")
        began = time.perf_counter()
        decoded = np.asarray(store)
        decode_rate = len(decoded) / (time.perf_counter() - began)
    draw(digits, decoded, folder / "demo.png")

    print("4. verify every object, and every sample against the original")
    result = engine.verify(store_path, against=data)
    if not result.ok:
        sys.exit("verification failed: " + "; ".join(result.problems))
    print(f"   ok: {result.objects_checked} objects, {result.samples_compared} samples\n")
    show(report, decode_rate)
    print(f"\npicture: {folder / 'demo.png'}\n{NEXT_STEPS}")


def show(report: engine.CompressionReport, decode_rate: float) -> None:
    """Print the table."""
    print_table(
        {
            "bytes in": size_text(report.raw_bytes),
            "bytes of the whole store": f"{size_text(report.stored_bytes)} "
            f"(latents {size_text(report.latent_bytes)}, networks {size_text(report.codec_bytes)})",
            "ratio": f"{report.ratio:.1f}",
            "PSNR, mean": f"{report.psnr_db:.2f} dB",
            "PSNR, worst sample": f"{report.worst_psnr_db:.2f} dB",
            "encode speed": f"{report.samples_per_s:,.0f} samples/s, each decoded and measured",
            "decode speed": f"{decode_rate:,.0f} samples/s",
            "device": report.device,
        }
    )
    if report.advice:
        print(f"advice: {report.advice}")


def draw(originals: np.ndarray, decoded: np.ndarray, path: Path) -> None:
    """Draw originals, reconstructions and errors side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    errors = np.abs(decoded[:SHOWN].astype(int) - originals[:SHOWN])
    rows: dict[str, Any] = {"original": originals, "reconstruction": decoded, "error": errors}
    figure = Figure(figsize=(SHOWN, len(rows) * 1.1), layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), SHOWN)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=False):
            axis.imshow(image, cmap="magma" if name == "error" else "gray", vmin=0, vmax=255)
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
