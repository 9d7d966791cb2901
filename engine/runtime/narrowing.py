"""Networks whose weights are kept in as few bytes as a given loss of quality allows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from engine.codec.files import DECODER, ENCODER, CodecFiles
from engine.errors import InvalidInput
from engine.runtime.codec import Codec
from engine.runtime.encoder_variants import spread
from engine.runtime.round_trip import RoundTrip, loss_db
from engine.runtime.weight_search import WeightSearch, halved

Weights = Literal["auto", "float32", "float16", "int8"]
"""How the weights of a codec's networks are kept."""
WEIGHTS: tuple[Weights, ...] = ("auto", "float32", "float16", "int8")

MOST_LOSS_DB = 0.02
# Of what is measured: what was chosen on these samples loses nearly twice as much on others.
_MEASURED_LOSS_DB, _ENCODER_LOSS_DB = 0.65 * MOST_LOSS_DB, 0.15 * MOST_LOSS_DB
_FITTED_SAMPLES, _FITTED_ELEMENTS = 2048, 1 << 23


@dataclass(frozen=True)
class NarrowNetworks:
    """The two graphs of a codec, and what a manifest says of their weights."""

    encoder: bytes
    decoder: bytes
    measured: Mapping[str, Any]


def check_weights(weights: str) -> None:
    """Refuse a way to keep weights that there isn't.

    Raises:
        InvalidInput: names those there are.
    """
    if weights not in WEIGHTS:
        raise InvalidInput(f"weights must be one of {', '.join(WEIGHTS)}, got {weights!r}")


def narrow_networks(
    files: CodecFiles, samples: NDArray[Any], held_out: NDArray[Any], weights: Weights
) -> NarrowNetworks:
    """The networks of a codec with their weights kept as `weights` says.

    `auto` takes int8, float16 or float32 for each weight, so that both networks together lose at
    most 0.013 dB of PSNR on raw samples `held_out` `(n, *shape)`, the encoder little of that, and
    about 0.02 dB on samples that nothing was chosen by;
    `samples` are those that roundings are fitted to. `float16` and `int8` lose what they lose.

    Raises:
        CorruptCodec: a network is missing or damaged.
    """
    encoder, decoder = files.role(ENCODER), files.role(DECODER)
    if weights == "float32":
        return NarrowNetworks(encoder, decoder, {})
    exact = RoundTrip(encoder, decoder, held_out)
    if weights == "float16":
        encoder, decoder = halved(encoder), halved(decoder)
        error = RoundTrip(encoder, decoder, held_out).own
    else:
        fitted = _fitted(samples)
        latents = Codec(files, "cpu").encode(fitted)
        search = WeightSearch(encoder, fitted, exact.of_encoder, exact)
        encoder = search.smallest(_ENCODER_LOSS_DB) if weights == "auto" else search.integers()
        coded = RoundTrip(encoder, decoder, held_out)
        search = WeightSearch(decoder, latents, coded.of_decoder, exact)
        decoder = search.smallest(_MEASURED_LOSS_DB) if weights == "auto" else search.integers()
        error = coded.of_decoder(decoder)
    lost = loss_db(error, exact.own)
    measured = {"weights": weights, "weights_loss_db": round(lost, 4) if lost < math.inf else None}
    return NarrowNetworks(encoder, decoder, measured)


def _fitted(samples: NDArray[Any]) -> NDArray[Any]:
    elements = math.prod(samples.shape[1:])
    return spread(samples, max(1, min(_FITTED_SAMPLES, _FITTED_ELEMENTS // elements)))
