"""A classifier on latents alone beside raw pixels and PCA of the same size, and a 2-D map.

The codec and the PCA are fitted on the training digits only; the classifiers are tested on digits
that none of them has seen.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import engine
from bench.digits import load_digits

LATENT_DIM = 32
TRAIN = 4000
MAP = Path(__file__).parents[1] / "docs" / "latent_map.png"


def run(map_path: Path = MAP, epochs: int = 30, arch: str = "conv") -> dict[str, Any]:
    """Train a codec, compare accuracies, draw the map; returns accuracies on held-out digits."""
    digits, labels = load_digits()
    with tempfile.TemporaryDirectory() as folder:
        codec = engine.train(
            digits[:TRAIN], Path(folder, "codec"), arch=arch, latent_dim=LATENT_DIM, epochs=epochs
        )
        engine.compress(digits, Path(folder, "store.zarr"), codec)
        with engine.open(Path(folder, "store.zarr")) as store:
            latents = store.read_latents()
    pixels = digits.reshape(len(digits), -1) / np.float32(255)
    accuracies = {
        "latents": _accuracy(latents, labels),
        "raw pixels": _accuracy(pixels, labels),
        "PCA of the same size": _accuracy(_pca(pixels), labels),
    }
    for name, accuracy in accuracies.items():
        print(f"{name:<22}{accuracy:.3f}")
    _draw_map(latents, labels, map_path)
    return {"accuracy": accuracies, "latent_dim": LATENT_DIM, "arch": arch, "epochs": epochs}


def _accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(features[:TRAIN], labels[:TRAIN])
    return round(float(model.score(features[TRAIN:], labels[TRAIN:])), 4)


def _pca(pixels: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import PCA

    return np.asarray(PCA(LATENT_DIM, random_state=0).fit(pixels[:TRAIN]).transform(pixels))


def _draw_map(latents: np.ndarray, labels: np.ndarray, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from sklearn.manifold import TSNE

    shown = slice(0, 2000)
    places = TSNE(2, random_state=0, init="pca").fit_transform(latents[shown])
    figure = Figure(figsize=(6, 6), layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.scatter(*places.T, c=labels[shown], cmap="tab10", s=6)
    axes.set(xticks=[], yticks=[], title="latents of 2,000 digits, t-SNE")
    figure.savefig(path, dpi=80)
