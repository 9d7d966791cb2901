"""The fastest batch size and layout of threads for a codec here: measured once, then kept."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_args

from engine.codec.files import DECODER, ENCODER
from engine.errors import InvalidInput
from engine.runtime.codec import Codec
from engine.runtime.device import Device, available_cores
from engine.runtime.layout_trials import (
    READ_BATCH_COST_S,
    Layout,
    Seconds,
    Trials,
    candidates,
    search,
    shares,
    speed,
)
from engine.runtime.machine import name_measurement
from engine.runtime.user_cache import read_cached, write_cached

BUDGET_S = 1.5
_AS_FAST = 0.97  # of the best rate: less memory is worth more


@dataclass(frozen=True)
class Tuning:
    """The fastest way to run a codec on one machine; JSON round-trippable.

    `callers` Python threads run batches of `batch_samples` at once, each run on `threads_per_run`
    threads of onnxruntime's; where they only decode, batches of `read_batch_samples`. The rates are
    those of all callers together, of random samples with both networks in turn; None where the
    codec lacks the network, or none was measured.
    """

    device: Device
    batch_samples: int
    read_batch_samples: int
    callers: int
    threads_per_run: int
    encode_samples_per_s: float | None
    decode_samples_per_s: float | None

    def __post_init__(self) -> None:
        """Refuse what nobody has measured."""
        batches = (self.batch_samples, self.read_batch_samples)
        counts = (*batches, self.callers, self.threads_per_run)
        rates = (self.encode_samples_per_s, self.decode_samples_per_s)
        if not (
            self.device in get_args(Device)
            and all(type(count) is int and count > 0 for count in counts)
            and all(rate is None or (type(rate) is float and 0 < rate < math.inf) for rate in rates)
        ):
            raise InvalidInput(f"expected positive counts and rates on a device, found {self}")

    @property
    def layout(self) -> Layout:
        """What was chosen."""
        return Layout(self.batch_samples, self.callers, self.threads_per_run)

    @property
    def read_layout(self) -> Layout:
        """What was chosen for decoding alone."""
        return replace(self.layout, batch_samples=self.read_batch_samples)

    def to_json(self) -> dict[str, Any]:
        """The members, as JSON has them."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Any) -> Tuning:
        """Read what `to_json` returned.

        Raises:
            InvalidInput: it is something else.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(document, dict) or set(document) != names:
            raise InvalidInput(f"expected the members {', '.join(sorted(names))} of a tuning")
        return cls(**document)


def tune(codec: Codec, *, refresh: bool = False) -> Tuning:
    """The fastest layout for `codec` on its device and this machine.

    Measured within two seconds, unless a single sample takes longer, and kept in the user's cache
    folder; `refresh` measures again.

    Raises:
        CorruptCodec: a network is damaged.
        DeviceUnavailable: a network can't be run here.
    """
    known = None if refresh else known_tuning(codec)
    if known is not None:
        return known
    tuning = measure(codec, BUDGET_S)
    write_cached(_name(codec), tuning.to_json())
    return tuning


def _name(codec: Codec) -> str:
    """The file that keeps what was measured of a codec, with its kind of encoder, here."""
    return name_measurement("tuning", codec.device, codec.digest, codec.encoder_name)


def known_tuning(codec: Codec) -> Tuning | None:
    """What was measured before, if it could have been chosen for this codec; see `tune`."""
    try:
        tuning = Tuning.from_json(read_cached(_name(codec)))
    except InvalidInput:
        return None
    layouts = {tuning.layout, tuning.read_layout}
    usable = tuning.device == codec.device and layouts <= set(candidates(codec))
    return tuning if usable else None


def measure(codec: Codec, budget_s: float) -> Tuning:
    """Measure the candidates in turn until `budget_s` is over, and choose; see `tune`."""
    if not codec.roles:
        chosen = Layout(codec.batch_samples, *shares(codec.device, available_cores())[0])
        return _tuning(codec, chosen, chosen, {})
    with Trials(codec) as trials:
        results = search(candidates(codec), trials, budget_s)
    chosen = _quickest({layout: speed(layout, seconds) for layout, seconds in results.items()})
    reading = {
        layout: speed(layout, _decoding(seconds), READ_BATCH_COST_S)
        for layout, seconds in results.items()
        if replace(layout, batch_samples=chosen.batch_samples) == chosen
    }
    return _tuning(codec, chosen, _quickest(reading), results[chosen])


def _quickest(speeds: dict[Layout, float]) -> Layout:
    """The smallest batches that are about as fast as any."""
    best = max(speeds.values())
    return next(
        layout
        for layout in sorted(speeds, key=lambda layout: layout.batch_samples)
        if speeds[layout] >= _AS_FAST * best
    )


def _decoding(seconds: Seconds) -> Seconds:
    """What is run where samples are read."""
    return {role: spent for role, spent in seconds.items() if role == DECODER}


def _tuning(codec: Codec, layout: Layout, reading: Layout, seconds: Seconds) -> Tuning:
    rates = {role: 1 / spent for role, spent in seconds.items()}
    return Tuning(
        device=codec.device,
        batch_samples=layout.batch_samples,
        read_batch_samples=reading.batch_samples,
        callers=layout.callers,
        threads_per_run=layout.threads_per_run,
        encode_samples_per_s=rates.get(ENCODER),
        decode_samples_per_s=rates.get(DECODER),
    )
