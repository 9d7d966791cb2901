"""What latents cost and what quality they bring, at one step of the quantiser."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

_WEIGHT_BITS = 8  # that 0.02 dB leave of a weight


@dataclass(frozen=True)
class RatePoint:
    """What a codec of one quantisation step makes of held-out samples.

    `step` is in units of the network's samples, `bits_per_sample` the empirical entropy of the
    integers, summed over the channels. `psnr_db` and `squared_error`, the sum over a sample with
    the data's range as 1, are those of finished samples. `residual_bits` is the entropy of a
    sample's residuals, 0 where there is no bound that they keep; `decoder_bits` is a sample's share
    of the decoder.
    """

    step: float
    channels: int
    bits_per_sample: float
    psnr_db: float
    squared_error: float
    residual_bits: float = 0.0
    decoder_bits: float = 0.0

    @property
    def total_bits(self) -> float:
        """All that a sample takes."""
        return self.bits_per_sample + self.residual_bits + self.decoder_bits

    def as_json(self) -> dict[str, float | None]:
        """Return it as a JSON-able mapping, in which an infinite PSNR is None."""
        return asdict(self) | {"psnr_db": self.psnr_db if math.isfinite(self.psnr_db) else None}


def decoder_bits(weights: int, samples: float) -> float:
    """A sample's share, bits, of so many weights of a decoder."""
    return _WEIGHT_BITS * weights / samples
