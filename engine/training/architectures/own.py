"""A user's own pair of modules as an architecture."""

from __future__ import annotations

import copy
import hashlib

import torch
from torch import Tensor, nn

from engine.errors import InvalidInput
from engine.training.architectures.architecture import Architecture


class OwnModules(Architecture):
    """A copy of a user's encoder and decoder, trained with the plain distortion."""

    summary = "the modules given"
    learning_rate = 1e-3

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__(copy.deepcopy(encoder), copy.deepcopy(decoder))
        if not any(weight.requires_grad for weight in self.parameters()):
            raise InvalidInput("the given encoder and decoder have no weight that can be trained")

    @staticmethod
    def describe(pair: tuple[nn.Module, nn.Module]) -> str:
        """Return a name for the pair that tells modules of another structure apart.

        Raises:
            InvalidInput: it is no pair of modules.
        """
        kinds = [isinstance(one, nn.Module) for one in pair] if isinstance(pair, tuple) else []
        if kinds != [True, True]:
            raise InvalidInput(
                f"arch is a {type(pair).__name__}, expected a name or a tuple of two "
                "torch.nn.Module, encoder and decoder"
            )
        encoder, decoder = pair
        structure = hashlib.sha256(f"{encoder}\n{decoder}".encode()).hexdigest()
        return f"own modules {structure[:16]}"

    def check(self, batch: Tensor) -> None:
        """Run one batch `(batch, *network_shape)` through both modules.

        Raises:
            InvalidInput: a module fails, or the shapes don't fit.
        """
        latents = _try(self.encoder, "encoder", batch)
        if latents.ndim < 2 or len(latents) != len(batch):
            raise InvalidInput(
                f"the given encoder returns {tuple(latents.shape)} for a batch "
                f"{tuple(batch.shape)}, expected ({len(batch)}, *latent_shape)"
            )
        found = _try(self.decoder, "decoder", latents)
        if found.shape != batch.shape:
            raise InvalidInput(
                f"the given decoder returns {tuple(found.shape)} for a batch "
                f"{tuple(batch.shape)}, expected the same shape: adapt the last layers"
            )


def _try(module: nn.Module, name: str, batch: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            result = module(batch)
    except Exception as error:  # the modules are not ours and may raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InvalidInput(
            f"the given {name} fails on a batch {tuple(batch.shape)}: {reason}"
        ) from error
    if not isinstance(result, Tensor):
        raise InvalidInput(f"the given {name} returns a {type(result).__name__}, expected a tensor")
    return result
