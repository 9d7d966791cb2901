"""Training: torch architectures, the loop, checkpoints, and export to bare float ONNX networks."""

import os

from engine.errors import MissingExtra

# Torch's threads spin while they wait, which brings training nearly to a stop on busy cores. Read
# once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

try:
    from engine.training.architectures import ARCHITECTURES
    from engine.training.export import export_pair, torch_latents, torch_reconstruction
    from engine.training.fitting import fit
    from engine.training.klt import fit_klt
    from engine.training.learning_curve import save_learning_curve
    from engine.training.records import EpochRecord, Progress, Trained
    from engine.training.target import RateTarget, choose_target
    from engine.training.transform_kind import TRANSFORM_KINDS
    from engine.training.transforming import fit_transform
except ModuleNotFoundError as error:
    package = (error.name or "").partition(".")[0]
    if package in ("torch", "safetensors", "matplotlib"):
        raise MissingExtra(
            f"training needs {package}, which is not installed: pip install 'latent-engine[train]'"
        ) from error
    raise

__all__ = [
    "ARCHITECTURES",
    "TRANSFORM_KINDS",
    "EpochRecord",
    "Progress",
    "RateTarget",
    "Trained",
    "choose_target",
    "export_pair",
    "fit",
    "fit_klt",
    "fit_transform",
    "save_learning_curve",
    "torch_latents",
    "torch_reconstruction",
]
