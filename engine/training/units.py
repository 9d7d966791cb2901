"""How large the networks of a transform may be, for the samples that share its decoder."""

from __future__ import annotations

from engine.training.rate import RatePoint, decoder_bits

MOST_UNITS = 128
# The share of the linear codec's bits that so many hidden units save: 3000 steps on 4,000 digits at
# 20.7 dB, the data of all tried that units do most for. More than 128 learn such few by heart.
_SAVED = {MOST_UNITS: 0.40, 64: 0.37, 32: 0.32}


def choose_units(linear: RatePoint, elements: int, samples: float) -> int:
    """The hidden units that save most of what the linear codec takes; 0 where none pay.

    `samples` share the decoder of so many elements a sample.
    """
    weights = elements + linear.channels
    bits = linear.bits_per_sample + linear.residual_bits

    def saved(units: int) -> float:
        return _SAVED[units] * bits - decoder_bits(units * weights, samples)

    best = max(_SAVED, key=saved)
    return best if saved(best) > 0 else 0
