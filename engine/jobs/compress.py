"""Bulk compression: a dataset and a codec become a latent store."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.errors import InvalidInput
from engine.guarantee import Nonfinite
from engine.jobs.compression_job import CompressionJob
from engine.jobs.fingerprint import identify_all
from engine.jobs.fit import check_counts, check_fit
from engine.jobs.promise import FillValue, promise
from engine.jobs.report import CompressionReport, report_on
from engine.jobs.running import EncoderOption, prepare, recorded_encoder
from engine.jobs.sidecars import open_sidecars
from engine.runtime.codec import Codec, check_step
from engine.sources import open_source
from engine.store.objects import LocalObjects


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
    encoder: EncoderOption = "auto",
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
        encoder: `float32`, the codec's own; `int8` or `float16`, made of it and cheaper; `auto`
            takes a cheaper one in jobs of some seconds, where it is measured to be faster and to
            lose less than 0.05 dB. No guarantee depends on it.
        batch: samples per run of the networks; without it, measured in jobs of some seconds.
        threads: shards that the networks work on at once; likewise.
        progress: called with samples done and samples in all.

    Raises:
        InvalidInput: data or options that can't be used; nothing is left behind.
        IncompatibleStore: another job's store lies at `store`.
        GuaranteeViolated: this machine doesn't decode as the codec's certificate says.
        StorageError: the file system refused; what is committed stays, run again to go on.
    """
    check_step(step)
    check_counts(batch=batch, threads=threads)
    check_counts(chunk_samples=chunk_samples, shard_samples=shard_samples)
    opened = (codec if isinstance(codec, Codec) else Codec.load(codec, device)).on(device)
    target = LocalObjects(store)
    with open_source(data, key=key) as source:
        check_fit(source, opened)
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
        identity = identify_all(source, {n: s.source for n, s in carried.items()})
        running = prepare(
            opened,
            source,
            survey,
            step=step,
            encoder=encoder,
            recorded=None if overwrite else recorded_encoder(target, opened, identity),
            batch=batch,
            threads=threads,
        )
        job = CompressionJob(
            store=target,
            source=source,
            sidecars=carried,
            identity=identity,
            running=running,
            guarantee=guarantee,
            survey=survey,
            step=float(step),
            keep_latents=keep_latents,
            keep_encoder=keep_encoder,
            has_quality=quality,
            portable=portable,
            sizes=(chunk_samples, shard_samples),
            progress=progress,
        )
        began = time.perf_counter()
        written = job.run(overwrite=overwrite)
        return report_on(job, written, time.perf_counter() - began)
