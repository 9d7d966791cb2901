"""Codecs of our own in a comparison: real stores, every file counted."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from engine import __version__
from engine.comparing.held_out import HeldOut
from engine.comparing.layouts import Array
from engine.comparing.method import Coded, Method, Setting, bounds
from engine.comparing.peers.peer import LOSSLESS, MAX_ERROR, Refused
from engine.errors import EngineError, one_line
from engine.jobs.compress import compress
from engine.jobs.report import CompressionReport
from engine.reading.store import Store
from engine.runtime.codec import Codec
from engine.store.arrays import METADATA

_STEPS = (4.0, 2.0, 1.4, 1.0, 0.7)
_TIMED_SAMPLES = 16_384
_TIMED_BYTES = 32 * 1024 * 1024


class LatentStore(Method):
    """Stores that one codec makes, at several steps, within bounds, and without loss.

    Sizes and errors are those of a store of the test samples. Speeds are of one that holds them
    many times, for jobs of many samples are what a start-up is worth.
    """

    package = "onnxruntime"

    def __init__(self, codec: Codec, name: str) -> None:
        self.name, self._codec = name, codec
        self.identity = f"{__version__} {codec.files.digest}"

    def settings(self, data: HeldOut) -> tuple[Setting, ...]:
        """Steps without a guarantee, every other of the bounds that all share, and lossless."""
        steps = tuple(Setting("step", step) for step in _STEPS)
        return (*steps, *bounds(data)[::2], Setting(LOSSLESS, 0.0))

    def code(self, data: HeldOut, setting: Setting) -> Coded:
        """Write a store of the test samples, decode it, and time a larger one."""
        with tempfile.TemporaryDirectory() as folder:
            test, timed = Path(folder) / "test.zarr", Path(folder) / "timed.zarr"
            try:
                report = self._write(data.test, test, data, setting)
                repeated = _repeated(data)
                began = time.perf_counter()
                self._write(repeated, timed, data, setting)
                encode_s = time.perf_counter() - began
                decoded, _ = _decode(test, data)
                decode_s = _decode(timed, data)[1]
            except EngineError as error:
                raise Refused(one_line(error)) from error
            metadata_bytes = _metadata_bytes(test)
        share = len(data.test) / len(repeated)
        return Coded(
            decoded,
            f"store of {', '.join(mode for mode, count in report.modes.items() if count)}",
            payload_bytes=report.stored_bytes - report.codec_bytes - metadata_bytes,
            decoder_bytes=report.codec_bytes,
            metadata_bytes=metadata_bytes,
            encode_s=encode_s * share,
            decode_s=decode_s * share,
        )

    def _write(
        self, samples: Array, path: Path, data: HeldOut, setting: Setting
    ) -> CompressionReport:
        promises: dict[str, Any] = {MAX_ERROR: {"max_error": setting.value}}
        promises |= {LOSSLESS: {"lossless": True}, "step": {"step": setting.value}}
        return compress(
            samples,
            path,
            self._codec,
            chunk_samples=data.chunk_samples,
            keep_latents=False,
            keep_encoder=False,
            encoder="float32",
            device="cpu",
            threads=1,
            **promises[setting.unit],
        )


def _repeated(data: HeldOut) -> Array:
    """The test samples, as often as makes a job of some length, or as long as the whole data's."""
    wanted = min(_TIMED_SAMPLES, _TIMED_BYTES // data.sample_bytes, data.samples)
    return np.concatenate([data.test] * max(1, -(-wanted // len(data.test))))


def _decode(path: Path, data: HeldOut) -> tuple[Array, float]:
    """All samples, chunk after chunk, and the seconds that it took once the store was open."""
    size = data.chunk_samples
    with Store(path, device="cpu", cache_bytes=0) as store:
        _ = store[0]
        began = time.perf_counter()
        decoded = np.concatenate([store[at : at + size] for at in range(0, len(store), size)])
        return decoded, time.perf_counter() - began


def _metadata_bytes(path: Path) -> int:
    """What doesn't grow with the samples, networks apart."""
    files = (file for file in path.rglob(METADATA) if "codecs" not in file.relative_to(path).parts)
    return sum(file.stat().st_size for file in files)
