"""One data set of the benchmark of quality: its codecs, its stores, its peers; all are kept."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import engine
from engine.comparing.array_method import ArrayMethod
from engine.comparing.fidelity import Fidelity, measure_fidelity
from engine.comparing.latent_store import LatentStore
from engine.comparing.measuring import measure
from engine.comparing.method import INDEX_BYTES, Method, Setting
from engine.comparing.peers.peer import MAX_ERROR, Peer
from engine.comparing.point import Point
from engine.comparing.record import Record, Refusal
from engine.comparing.split_samples import SplitSamples
from engine.errors import InvalidInput


@dataclass(frozen=True)
class Demand:
    """The least that a field of `Fidelity` must be, of decoded test samples."""

    field: str
    least: float

    def short_of(self, found: Fidelity) -> float:
        """By how much it is missed; 0 and below where it is met."""
        reached: float = getattr(found, self.field)
        return self.least - reached

    def met_by(self, found: Fidelity) -> bool:
        """Whether it is met."""
        return self.short_of(found) <= 0


@dataclass(frozen=True)
class Result:
    """A measured point; a peer's index of 16 bytes a chunk is taken off, as others write none.

    `for_samples` share the decoder; `target` is what a codec of ours was trained for. One that
    isn't good enough counts as `raw_bytes` a sample: whoever needs the quality keeps the samples.
    """

    point: Point
    chunk_samples: int
    for_samples: int
    raw_bytes: int
    is_enough: bool = True
    target: Mapping[str, float] = field(default_factory=dict)

    @property
    def sample_bytes(self) -> float:
        """What one more sample takes."""
        if not self.is_enough:
            return self.raw_bytes
        chunks = -(-self.point.samples // self.chunk_samples)
        index_bytes = 0 if self.point.is_ours else INDEX_BYTES * chunks
        return (self.point.payload_bytes - index_bytes) / self.point.samples

    def to_json(self) -> dict[str, Any]:
        """Sizes and what comes back; JSON-able."""
        point, fixed = self.point, self.point.decoder_bytes + self.point.metadata_bytes
        found = {
            "setting": point.setting,
            "is_enough": self.is_enough,
            "target": dict(self.target) or None,
            "layout": point.layout,
            "sample_bytes": self.sample_bytes,
            "decoder_bytes": point.decoder_bytes,
            "metadata_bytes": point.metadata_bytes,
            "sample_bytes_in_all": self.sample_bytes + fixed / self.for_samples,
            "for_samples": self.for_samples,
            "psnr_db": point.psnr_db if math.isfinite(point.psnr_db) else None,
            "max_abs_error": point.max_abs_error,
            "recall_at_10": point.recall_at_10,
            "cosine_similarity": point.cosine_similarity,
            "inner_product_error": point.inner_product_error,
        }
        return {
            name: float(f"{value:.5g}") if isinstance(value, float) else value
            for name, value in found.items()
            if value is not None
        }


_HALVINGS = 9
_FINEST, _COARSEST = 0.3, 3.0  # steps around the one that a codec was trained for
_TRIALS, _NEAR = 3, 1.25


class Subject:
    """Samples split in two, and a folder for what was made of them.

    A store is large enough to decide as one of `store_samples` does whether networks pay. `epochs`
    cut training short, to try the benchmark itself.
    """

    def __init__(
        self,
        name: str,
        data: SplitSamples,
        folder: Path,
        store_samples: int,
        epochs: int | None = None,
    ) -> None:
        self.name, self.data, self._store_samples = name, data, store_samples
        self._folder, self._epochs = folder / name, epochs
        self._record = Record(self._folder)

    def codec(self, arch: str, **options: Any) -> engine.Codec:
        """Train a codec on the training samples, or take it from the folder."""
        path = self._path(arch, options)
        if path.exists():
            return engine.Codec.load(path, "cpu")
        told = ", ".join(f"{name} {value}" for name, value in options.items())
        print(f"{self.name}: train {arch} for {told}", flush=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        limits = {} if arch == "klt" else {"epochs": self._epochs}
        began = time.perf_counter()
        codec = engine.train(self.data.train, path, arch=arch, **options, **limits)
        elapsed_s = round(time.perf_counter() - began, 1)
        self._seconds_of(path).write_text(json.dumps(elapsed_s))
        return codec.on("cpu")

    def training_s(self, arch: str, **options: Any) -> float:
        """Seconds that a codec's training took."""
        seconds: float = json.loads(self._seconds_of(self._path(arch, options)).read_text())
        return seconds

    def at(
        self, arch: str, demand: Demand, options: Mapping[str, Any] | None = None, **target: float
    ) -> Result:
        """A codec at the coarsest step that meets a demand on test samples.

        It is trained with `options` for a target, and for another where the step is far from the
        one it was trained for: test samples can be harder than those that training holds out.
        """
        for _ in range(_TRIALS):
            codec = self.codec(arch, **(options or {}), **target)
            step = coarsest(lambda step, codec=codec: self.fidelity(codec, step), demand)
            found = self.stored(arch, codec, Setting("step", step))
            found = replace(found, is_enough=demand.met_by(found.point), target=target)
            if 1 / _NEAR < step < _NEAR:
                break
            missed = demand.short_of(self.fidelity(codec, 1.0))
            target = _nearer(target, missed, found)
        return found

    def stored(self, name: str, codec: engine.Codec, setting: Setting) -> Result:
        """The test samples in a store of ours."""
        return self._measured(LatentStore(name, {"": codec}, (), self._store_samples), setting)

    def peer(self, peer: Peer, setting: Setting, chunk_samples: int | None = None) -> Result:
        """The test samples coded by a peer, in chunks of its own size if it has one."""
        return self._measured(ArrayMethod(peer), setting, chunk_samples)

    def by(self, method: Method) -> list[Result]:
        """The test samples coded by a method at each of its settings."""
        return [self._measured(method, setting) for setting in method.settings(self.data)]

    def bound(self, share: float) -> Setting:
        """A share of the range as a promise; of integers it is whole."""
        value = share * self.data.value_range
        return Setting(MAX_ERROR, float(int(value)) if self.data.test.dtype.kind in "iu" else value)

    def _measured(
        self, method: Method, setting: Setting, chunk_samples: int | None = None
    ) -> Result:
        data = replace(self.data, chunk_samples=chunk_samples or self.data.chunk_samples)
        found = measure(data, method, setting, self._record)
        if isinstance(found, Refusal):
            raise InvalidInput(f"{self.name}: {found.method}, {found.setting}: {found.reason}")
        return Result(found.point, data.chunk_samples, data.samples, data.sample_bytes)

    def fidelity(self, codec: engine.Codec, step: float) -> Fidelity:
        """What comes back of the test samples at a step."""
        test = self.data.test
        return measure_fidelity(test, codec.decode(codec.encode(test, step), step))

    def _path(self, arch: str, options: dict[str, Any]) -> Path:
        told = "".join(f"-{name}-{value}" for name, value in sorted(options.items()))
        return self._folder / f"{arch}{told}.codec"

    @staticmethod
    def _seconds_of(path: Path) -> Path:
        return path.with_suffix(".seconds.json")


def _nearer(target: dict[str, float], missed: float, found: Result) -> dict[str, float]:
    """A target that a codec meets at the step it is trained for."""
    ((name, value),) = target.items()
    if name == "target_psnr":
        return {name: round(value + missed, 1)}
    point = found.point
    return {name: round(point.payload_bytes / point.samples, 1)}


def coarsest(
    measured: Callable[[float], Fidelity],
    demand: Demand,
    finest: float = _FINEST,
    largest: float = _COARSEST,
) -> float:
    """By bisection the largest of values between two limits that still meets a demand.

    Quality falls as the value grows. The finest where none meets it.
    """
    fine, coarse = finest, largest
    for _ in range(_HALVINGS):
        middle = (fine * coarse) ** 0.5
        if demand.met_by(measured(middle)):
            fine = middle
        else:
            coarse = middle
    return fine
