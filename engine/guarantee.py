"""What is promised of every sample of a store: chosen when it is written, checked ever after."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from engine.errors import InvalidInput

Kind = Literal["none", "max-error", "lossless", "min-psnr"]
Nonfinite = Literal["error", "keep"]

# Keeps a PSNR that somebody computes again, in another order, at or above the promised one.
_MARGIN = 1 - 1e-9
_SMALLEST, _LARGEST = sys.float_info.min, sys.float_info.max


@dataclass(frozen=True)
class Guarantee:
    """A promise about every sample, in the samples' own dtype; JSON round-trippable.

    Args of the dataclass:
        kind: `none`, `max-error`, `lossless` or `min-psnr`.
        max_error: of `max-error`, the largest absolute error of any element, in physical units.
        min_psnr: of `min-psnr`, the smallest PSNR of any sample, in dB.
        peak: of `min-psnr`, the peak that it refers to, in physical units.
        nonfinite: whether NaN and infinity are refused or kept bit for bit.
        fill_values: values that mark missing elements and are kept bit for bit.
    """

    kind: Kind = "none"
    max_error: float | None = None
    min_psnr: float | None = None
    peak: float | None = None
    nonfinite: Nonfinite = "error"
    fill_values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse promises that contradict themselves."""
        needed = {"max-error": ("max_error",), "min-psnr": ("min_psnr", "peak")}
        if self.kind not in get_args(Kind) or self.nonfinite not in get_args(Nonfinite):
            raise InvalidInput(f"no guarantee is {self.kind!r} with nonfinite={self.nonfinite!r}")
        for name in ("max_error", "min_psnr", "peak"):
            value = getattr(self, name)
            if (value is not None) != (name in needed.get(self.kind, ())):
                raise InvalidInput(f"a guarantee of kind {self.kind} with {name} {value}")
            if value is not None and not (_is_number(value) and 0 <= value < math.inf):
                raise InvalidInput(f"{name} must be a finite number of 0 or more, got {value!r}")
        if not all(_is_number(value) and math.isfinite(value) for value in self.fill_values):
            raise InvalidInput(f"fill values must be finite numbers, got {self.fill_values}")
        if self.peak and not _SMALLEST <= self.mean_squared_error_bound <= _LARGEST:
            raise InvalidInput(
                f"a PSNR of {self.min_psnr} dB at a peak of {self.peak} needs squared errors "
                f"beyond float64; ask for max_error or lossless, or rescale the data"
            )

    @property
    def is_plain(self) -> bool:
        """Whether every shard is latents and nothing else."""
        return self.kind == "none" and self.nonfinite == "error" and not self.fill_values

    @property
    def needs_certificate(self) -> bool:
        """Whether it holds only where the decoder computes what it computed for the writer."""
        return self.kind != "none"

    @property
    def element_bound(self) -> float:
        """Largest absolute error of an element; infinite where only samples are bounded."""
        if self.kind == "lossless" or self.mean_squared_error_bound == 0:
            return 0.0
        return math.inf if self.max_error is None else self.max_error

    @property
    def mean_squared_error_bound(self) -> float:
        """Largest mean squared error of a sample; infinite where only elements are bounded."""
        if self.min_psnr is None or self.peak is None:
            return math.inf
        # A product, where a power would overflow with an error.
        return self.peak * self.peak * 10 ** (-self.min_psnr / 10) * _MARGIN

    def to_json(self) -> dict[str, Any]:
        """The members that this kind has."""
        document: dict[str, Any] = {"kind": self.kind, "nonfinite": self.nonfinite}
        for name in ("max_error", "min_psnr", "peak"):
            if getattr(self, name) is not None:
                document[name] = getattr(self, name)
        if self.fill_values:
            document["fill_values"] = list(self.fill_values)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Guarantee:
        """Read what `to_json` wrote.

        Raises:
            InvalidInput: it contradicts itself.
            TypeError: it has unknown members, or is no mapping.
        """
        return cls(**{**document, "fill_values": tuple(document.get("fill_values", ()))})

    def __str__(self) -> str:
        text = {
            "max-error": f"max-error {self.max_error}",
            "min-psnr": f"min-psnr {self.min_psnr} dB (peak {self.peak})",
        }.get(self.kind, self.kind)
        kept = [str(value) for value in self.fill_values]
        kept += ["NaN and Inf"] if self.nonfinite == "keep" else []
        return text + (f", {', '.join(kept)} kept" if kept else "")


NO_GUARANTEE = Guarantee()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
