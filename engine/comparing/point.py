"""One measured point: a codec at a setting, what it costs and what comes back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.comparing.fidelity import Fidelity
from engine.comparing.method import Coded, Setting


@dataclass(frozen=True, kw_only=True)
class Point(Fidelity):
    """A codec at a setting on `samples` held-out samples.

    `bound` is the absolute error that it promises, 0 for every bit, None for no promise; `is_ours`
    tells a latent store. `payload_bytes` grow with the samples, `decoder_bytes` and
    `metadata_bytes` don't; all three are of the samples together. Speeds are of one thread.
    """

    method: str
    setting: str
    bound: float | None
    is_ours: bool
    layout: str
    samples: int
    payload_bytes: int
    decoder_bytes: int
    metadata_bytes: int
    encode_samples_per_s: float
    decode_samples_per_s: float

    @property
    def keeps_bound(self) -> bool:
        """Whether it promised a bound and the measured error is within it."""
        return self.bound is not None and self.max_abs_error <= self.bound

    @property
    def payload_sample_bytes(self) -> float:
        """Bytes that one more sample adds."""
        return self.payload_bytes / self.samples

    def sample_bytes(self, for_samples: int) -> float:
        """Bytes a sample with everything counted, in a store of so many samples."""
        fixed = self.decoder_bytes + self.metadata_bytes
        return self.payload_sample_bytes + fixed / for_samples

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields; infinities become text."""
        fields = dataclasses.asdict(self)
        return {
            name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in fields.items()
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Point:
        """What `to_json` made; raises TypeError or ValueError for anything else."""
        floats = ("psnr_db", "max_abs_error")
        return cls(**{**fields, **{name: float(fields[name]) for name in floats}})


def make_point(
    method: str, setting: Setting, *, is_ours: bool, coded: Coded, fidelity: Fidelity
) -> Point:
    """Put together what was measured."""
    samples = len(coded.decoded)
    return Point(
        **dataclasses.asdict(fidelity),
        method=method,
        setting=str(setting),
        bound=setting.bound,
        is_ours=is_ours,
        layout=coded.layout,
        samples=samples,
        payload_bytes=coded.payload_bytes,
        decoder_bytes=coded.decoder_bytes,
        metadata_bytes=coded.metadata_bytes,
        encode_samples_per_s=samples / coded.encode_s,
        decode_samples_per_s=samples / coded.decode_s,
    )
