"""Which architecture a run trains: one of ours by name, or a user's own modules."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from engine.errors import InvalidInput
from engine.training.architectures.architecture import Architecture
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


@dataclass(frozen=True)
class ArchitectureChoice:
    """An architecture before it is built: `build(network_shape, latent_dim, **options)`.

    `name` and `options` tell it from others; `learning_rate` is the one that suits it.
    """

    name: str
    options: Mapping[str, float]
    learning_rate: float
    build: Callable[..., Architecture]


def choose_architecture(
    arch: str | tuple[nn.Module, nn.Module], given: Mapping[str, float]
) -> ArchitectureChoice:
    """Choose an architecture by name, or a user's own encoder and decoder.

    Options that are not among those given have their defaults.

    Raises:
        InvalidInput: an unknown name or option, a value out of range, or no pair of modules.
    """
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise InvalidInput(f"arch {arch!r} is unknown; there are {', '.join(ARCHITECTURES)}")
        kind = ARCHITECTURES[arch]
        return ArchitectureChoice(arch, _options(arch, kind, given), kind.learning_rate, kind)
    name = OwnModules.describe(arch)
    if given:
        raise InvalidInput(f"options {', '.join(given)}: a given encoder and decoder take none")
    return ArchitectureChoice(name, {}, OwnModules.learning_rate, lambda *_: OwnModules(*arch))


def _options(name: str, kind: type[Architecture], given: Mapping[str, float]) -> dict[str, float]:
    parameters = inspect.signature(kind).parameters.values()
    options = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
    for option, value in given.items():
        if option not in options:
            known = f"it has {', '.join(options)}" if options else "it has none"
            raise InvalidInput(f"arch {name!r} has no option {option!r}; {known}")
        options[option] = _checked(option, value, options[option])
    return options


def _checked(option: str, value: float, default: float) -> float:
    if isinstance(default, int) and not (value >= 1 and value == int(value)):
        raise InvalidInput(f"option {option} must be a whole number of at least 1, got {value}")
    if not (math.isfinite(value) and value >= 0):
        raise InvalidInput(f"option {option} must be a finite number of at least 0, got {value}")
    return type(default)(value)
