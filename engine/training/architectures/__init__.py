"""The architectures by name; each is a small torch module in a file of its own."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping

from engine.errors import InvalidInput
from engine.training.architectures.architecture import Architecture, Distortion
from engine.training.architectures.conv import Conv
from engine.training.architectures.deep import Deep
from engine.training.architectures.denoising import Denoising
from engine.training.architectures.dense import Dense
from engine.training.architectures.own import OwnModules
from engine.training.architectures.sparse import Sparse
from engine.training.architectures.vae import Vae

ARCHITECTURES: dict[str, type[Architecture]] = {
    "dense": Dense,
    "conv": Conv,
    "deep": Deep,
    "vae": Vae,
    "sparse": Sparse,
    "denoising": Denoising,
}

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Distortion",
    "OwnModules",
    "architecture_options",
    "find_architecture",
]


def find_architecture(name: str) -> type[Architecture]:
    """Return the architecture of that name.

    Raises:
        InvalidInput: there is none.
    """
    if name not in ARCHITECTURES:
        raise InvalidInput(f"arch {name!r} is unknown; there are {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def architecture_options(name: str, given: Mapping[str, float]) -> dict[str, float]:
    """Return all options of an architecture: those given, the others at their defaults.

    Raises:
        InvalidInput: an option that the architecture doesn't have, or a value out of range.
    """
    parameters = inspect.signature(find_architecture(name)).parameters.values()
    options = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
    for option, value in given.items():
        if option not in options:
            known = f"it has {', '.join(options)}" if options else "it has none"
            raise InvalidInput(f"arch {name!r} has no option {option!r}; {known}")
        options[option] = _checked(option, value, type(options[option]))
    return options


def _checked(option: str, value: float, kind: type[float]) -> float:
    if kind is int and not (value >= 1 and value == int(value)):
        raise InvalidInput(f"option {option} must be a whole number of at least 1, got {value}")
    if not (math.isfinite(value) and value >= 0):
        raise InvalidInput(f"option {option} must be a finite number of at least 0, got {value}")
    return kind(value)
