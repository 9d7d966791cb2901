"""The architectures by name; each is a small torch module in a file of its own."""

from engine.training.architectures.architecture import Architecture, Distortion
from engine.training.architectures.choice import (
    ARCHITECTURES,
    ArchitectureChoice,
    choose_architecture,
)
from engine.training.architectures.own import OwnModules

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "ArchitectureChoice",
    "Distortion",
    "OwnModules",
    "choose_architecture",
]
