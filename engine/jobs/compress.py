"""Bulk compression: a dataset and a codec become a latent store."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numcodecs import zstd

from engine.errors import InvalidInput
from engine.guarantee import Nonfinite
from engine.jobs.compression_job import CompressionJob
from engine.jobs.fingerprint import identify_all
from engine.jobs.fit import check_counts, check_fit
from engine.jobs.promise import FillValue, promise
from engine.jobs.sidecars import open_sidecars
from engine.jobs.survey import Survey
from engine.runtime.codec import Codec, check_step
from engine.runtime.device import available_cores
from engine.sources import Source, open_source, spread_rows
from engine.store.contents import StoreContents
from engine.store.objects import LocalObjects
from engine.store.summary import StoreSummary, summarise

_ADVICE_BYTES = 4 * 1024 * 1024
_CUDA_WORKERS = 2
_SPREAD_SAMPLES = 64
_MANY_SATURATED = 0.05


@dataclass(frozen=True)
class CompressionReport(StoreSummary):
    """A store's summary, and how the job that wrote it went.

    `elapsed_s` is the time from the first read to the sealed store, `samples_written` what this run
    added. `element_bound` is the largest error that the guarantee allows an element, infinite where
    it allows any, and `spread` the range of the middle 98 % of some values. `zstd_ratio` is what
    zstd alone reaches on the raw samples, losslessly, measured on at most 4 MiB of them.
    """

    device: str
    elapsed_s: float
    samples_written: int
    zstd_ratio: float
    spread: float
    element_bound: float

    @property
    def samples_per_s(self) -> float:
        """Samples read, encoded, decoded, measured and written per second of this run."""
        return self.samples_written / self.elapsed_s

    @property
    def advice(self) -> str | None:
        """What to look into, or to use instead where this store doesn't pay, or None."""
        if 0 < self.spread < self.element_bound < math.inf:
            return (
                f"the bound of {self.element_bound:.4g} is wider than {self.spread:.4g}, the range "
                f"of 98 % of the values: outliers or fill values set the range; name them "
                f"(--fill-value), or give an absolute bound"
            )
        if self.saturated_fraction > _MANY_SATURATED and self.guarantee == "none":
            return (
                f"{self.saturated_fraction:.0%} of the latents are saturated: the codec doesn't "
                f"fit this data; train one on it, or name fill values (--fill-value)"
            )
        unused = not (self.modes["latents"] or self.modes["residuals"])
        if unused and self.latent_bytes:
            return (
                f"no shard needs the networks to keep this guarantee: without latents "
                f"(--no-latents) the store is up to {self.latent_bytes + self.codec_bytes} bytes "
                f"smaller"
            )
        if self.zstd_ratio >= self.ratio:
            return (
                f"zstd alone stores this data losslessly at ratio {self.zstd_ratio:.1f}, this "
                f"store reached {self.ratio:.1f}: prefer zarr + zstd here, or a store of more "
                f"samples"
            )
        if not unused:
            return None
        return (
            "no shard needs the networks to keep this guarantee, so they were left out: the "
            "samples themselves, predicted and coded, are smaller"
        )


def compress(
    data: Any,
    store: str | os.PathLike[str],
    codec: Codec | str | os.PathLike[str],
    *,
    max_error: float | str | None = None,
    lossless: bool = False,
    min_psnr: float | None = None,
    nonfinite: Nonfinite | None = None,
    fill_value: FillValue = "auto",
    keep_latents: bool = True,
    portable: bool = False,
    key: str | None = None,
    step: float = 1.0,
    sidecars: Mapping[str, Any] | Sequence[Any] | None = None,
    chunk_samples: int | None = None,
    shard_samples: int | None = None,
    keep_encoder: bool = True,
    quality: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    batch: int | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CompressionReport:
    """Compress a dataset into a latent store; run again after a kill, it goes on.

    Args:
        data: a path or an array-like of shape `(samples, *sample_shape)`.
        store: path of the store to write.
        codec: a `Codec`, or the path of one.
        max_error: guarantee that no element is off by more: a number in the data's units, or a
            text such as `"0.1%"` of the finite range of the data.
        lossless: guarantee that every sample comes back bit for bit.
        min_psnr: guarantee that no sample's PSNR in dB is lower; the peak is the dtype's range
            for uint8 and uint16, else the range of the data.
        nonfinite: `error` refuses NaN and infinity, `keep` keeps them bit for bit; without it they
            are kept under a guarantee and refused where there is none.
        fill_value: values that mark missing elements, kept bit for bit; `auto` recognises one
            below or above all others by a gap wider than their range, None looks for none.
        keep_latents: store latents also where the guarantee is cheaper to keep without a network.
        portable: use core Zarr codecs only, so that every Zarr tool opens every array.
        key: which array of an `.npz` file or Zarr group.
        step: scale of the quantiser; larger is smaller and coarser.
        sidecars: arrays of one item a sample to carry along, by name, or a list of paths.
        chunk_samples: samples that one random read decompresses.
        shard_samples: samples per object, a multiple of `chunk_samples`.
        keep_encoder: whether the store carries the encoder besides the decoder.
        quality: whether every sample is decoded again and its error stored; without, compression
            is quicker, and nothing is known of what comes back. Guarantees need it.
        overwrite: replace a store that is there, whatever wrote it.
        device: `auto`, `cpu` or `cuda`.
        batch: samples per run of the networks.
        threads: shards worked on at once.
        progress: called with samples done and samples in all.

    Raises:
        InvalidInput: data or options that can't be used; nothing is left behind.
        IncompatibleStore: another job's store lies at `store`.
        GuaranteeViolated: this machine doesn't decode as the codec's certificate says.
        StorageError: the file system refused; what is committed stays, run again to go on.
    """
    check_step(step)
    check_counts(batch=batch, threads=threads)
    running = (codec if isinstance(codec, Codec) else Codec.load(codec, device)).on(device)
    with open_source(data, key=key) as source:
        check_fit(source, running)
        guarantee, survey = promise(
            source,
            max_error=max_error,
            lossless=lossless,
            min_psnr=min_psnr,
            nonfinite=nonfinite,
            fill_value=fill_value,
        )
        if not (quality or guarantee.is_plain):
            raise InvalidInput(
                "a guarantee is proved on measured errors; leave out quality=False (--no-quality)"
            )
        carried = open_sidecars(sidecars, len(source))
        job = CompressionJob(
            store=LocalObjects(store),
            source=source,
            sidecars=carried,
            identity=identify_all(source, {n: s.source for n, s in carried.items()}),
            codec=running,
            guarantee=guarantee,
            survey=survey,
            step=float(step),
            keep_latents=keep_latents,
            keep_encoder=keep_encoder,
            has_quality=quality,
            portable=portable,
            sizes=(chunk_samples, shard_samples),
            batch=batch or running.batch_samples,
            workers=_workers(running, threads),
            progress=progress,
        )
        began = time.perf_counter()
        written = job.run(overwrite=overwrite)
        elapsed_s = time.perf_counter() - began
        zstd_ratio, spread = _zstd_ratio(source), _spread(source, survey)
    return CompressionReport(
        **dataclasses.asdict(summarise(StoreContents(store))),
        device=running.device,
        elapsed_s=elapsed_s,
        samples_written=written,
        zstd_ratio=zstd_ratio,
        spread=spread,
        element_bound=guarantee.element_bound,
    )


def _workers(codec: Codec, threads: int | None) -> int:
    if threads is not None:
        return threads
    return _CUDA_WORKERS if codec.device == "cuda" else available_cores()


def _spread(source: Source, survey: Survey) -> float:
    """Range of the middle 98 % of the values of some samples, without those that are kept apart."""
    rows = spread_rows(len(source), _SPREAD_SAMPLES)
    samples = np.concatenate([source.read(int(row), int(row) + 1) for row in rows])
    missing = survey.verbatim(samples)
    values = (samples if missing is None else samples[~missing]).astype(np.float64).ravel()
    if not values.size:
        return 0.0
    with np.errstate(all="ignore"):  # values near the limits of float64
        low, high = np.quantile(values, (0.01, 0.99))
        return float(high - low)


def _zstd_ratio(source: Source) -> float:
    row_bytes = source.dtype.itemsize * math.prod(source.sample_shape)
    rows = source.read(0, max(1, min(len(source), _ADVICE_BYTES // row_bytes)))
    return rows.nbytes / len(zstd.compress(rows, 3))
