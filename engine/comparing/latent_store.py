"""Codecs of our own in a comparison: real stores, every file counted."""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine import __version__
from engine.comparing.layouts import Array
from engine.comparing.method import Coded, Method, Setting, bounds
from engine.comparing.peers.peer import LOSSLESS, MAX_ERROR, Refused
from engine.comparing.split_samples import SplitSamples
from engine.errors import EngineError, one_line
from engine.jobs.compress import compress
from engine.jobs.report import CompressionReport
from engine.reading.store import Store
from engine.runtime.codec import Codec
from engine.store.arrays import METADATA

_SAMPLES, _PROMISED_SAMPLES = 16_384, 65_536
_BYTES = 64 * 1024 * 1024


class LatentStore(Method):
    """Stores that codecs of one kind make: at several steps, within bounds, and without loss.

    A store holds the test samples as often as makes it as large as one of `for_samples`, or a job
    of some length: whether networks and tables pay is decided by what they are shared by, and
    speed is measured beyond the start. Sizes are a fraction of it. Errors of samples are kept only
    where a promise needs them, since others keep none.
    """

    package = "onnxruntime"

    def __init__(
        self, name: str, codecs: Mapping[str, Codec], steps: Sequence[float], for_samples: int
    ) -> None:
        """`codecs` by the rate that each is for; one alone needs no name."""
        self.name, self._steps, self._for_samples = name, steps, for_samples
        self._by_unit = {f"{rate}, step" if rate else "step": codecs[rate] for rate in codecs}
        digests = " ".join(codec.digest for codec in codecs.values())
        self.identity = f"{__version__} {digests} {min(for_samples, _PROMISED_SAMPLES)}"

    def settings(self, data: SplitSamples) -> tuple[Setting, ...]:
        """Steps without a guarantee, every other of the bounds that all share, and lossless."""
        steps = (Setting(unit, step) for unit in self._by_unit for step in self._steps)
        return (*steps, *bounds(data)[::2], Setting(LOSSLESS, 0.0))

    def code(self, data: SplitSamples, setting: Setting) -> Coded:
        """Write a store, and decode it."""
        samples = self._repeated(data, setting)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "store.zarr"
            try:
                began = time.perf_counter()
                report = self._write(samples, path, data, setting)
                encode_s = time.perf_counter() - began
                decoded, decode_s = _decode(path, data)
            except EngineError as error:
                raise Refused(one_line(error)) from error
            metadata_bytes = _metadata_bytes(path)
        times = len(samples) // len(data.test)
        payload_bytes = report.stored_bytes - report.codec_bytes - metadata_bytes
        return Coded(
            decoded,
            f"store of {', '.join(mode for mode, count in report.modes.items() if count)}",
            payload_bytes=-(-payload_bytes // times),
            decoder_bytes=report.codec_bytes,
            metadata_bytes=metadata_bytes,
            encode_s=encode_s / times,
            decode_s=decode_s / times,
        )

    def _write(
        self, samples: Array, path: Path, data: SplitSamples, setting: Setting
    ) -> CompressionReport:
        return compress(
            samples,
            path,
            self._codec(setting),
            chunk_samples=data.chunk_samples,
            nonfinite="keep" if data.survey.nonfinite else None,
            fill_value=data.survey.fill_values or None,
            keep_latents=False,
            keep_encoder=False,
            quality=setting.bound is not None or data.has_gaps,
            encoder="float32",
            device="cpu",
            threads=1,
            **_promise(setting),
        )

    def _codec(self, setting: Setting) -> Codec:
        """The one that the setting names; for a bound the one that errs by about as much."""
        if setting.bound is None:
            return self._by_unit[setting.unit]
        bound = max(setting.bound, sys.float_info.min)
        return min(self._by_unit.values(), key=lambda codec: abs(math.log(_rms(codec) / bound)))

    def _repeated(self, data: SplitSamples, setting: Setting) -> Array:
        """The test samples, as often as a store of `for_samples` has room for.

        A promise is kept with networks where they pay, which takes many samples. The chunks come
        in another order each time: coders that are fitted to a few would else find these alike.
        """
        largest = _SAMPLES if setting.bound is None else _PROMISED_SAMPLES
        wanted = min(largest, _BYTES // data.sample_bytes, self._for_samples)
        chunks = [*data.chunks]
        order = np.arange(len(chunks))
        rng = np.random.default_rng(0)
        orders = [order, *(rng.permutation(order) for _ in range(wanted // len(data.test) - 1))]
        return np.concatenate([chunks[place] for each in orders for place in each])


def _promise(setting: Setting) -> dict[str, Any]:
    if setting.unit == LOSSLESS:
        return {"lossless": True}
    return {"max_error" if setting.unit == MAX_ERROR else "step": setting.value}


def _rms(codec: Codec) -> float:
    """The error at which a codec was made, root mean square, on the samples it was made with."""
    squared: float = codec.manifest.calibration["mean_squared_error"]
    return max(math.sqrt(squared), sys.float_info.min)


def _decode(path: Path, data: SplitSamples) -> tuple[Array, float]:
    """The test samples, and the seconds that all took, chunk by chunk, once the store was open."""
    size = data.chunk_samples
    with Store(path, device="cpu", cache_bytes=0) as store:
        _ = store[0]
        began = time.perf_counter()
        decoded = np.concatenate([store[at : at + size] for at in range(0, len(store), size)])
        return decoded[: len(data.test)], time.perf_counter() - began


def _metadata_bytes(path: Path) -> int:
    """What doesn't grow with the samples, networks apart."""
    files = (file for file in path.rglob(METADATA) if "codecs" not in file.relative_to(path).parts)
    return sum(file.stat().st_size for file in files)
