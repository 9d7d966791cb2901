"""What a compression job reports when it ends, and what it advises."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numcodecs import zstd

from engine.jobs.compression_job import CompressionJob
from engine.jobs.survey import Survey
from engine.sources import Source, spread_rows
from engine.store.contents import StoreContents
from engine.store.summary import StoreSummary, summarise

_ADVICE_BYTES = 1024 * 1024
_SPREAD_SAMPLES = 64
_MANY_SATURATED = 0.05
_FEW_SATURATED = 1e-4  # but too many where a smaller step is to make samples better


@dataclass(frozen=True)
class CompressionReport(StoreSummary):
    """A store's summary, and how the job that wrote it went.

    `step` is the scale of the quantiser. `elapsed_s` is the time from the first read to the sealed
    store, `samples_written` what this run added. `encoder` is what made the latents.
    `element_bound` is the largest error that the guarantee allows an element, infinite where it
    allows any, and `spread` the range of the middle 98 % of some values. `zstd_ratio` is what zstd
    alone reaches on the raw samples, losslessly, measured on at most 1 MiB of them.
    """

    device: str
    encoder: str
    step: float
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
        if self.guarantee == "none" and (saturation := self._saturation) is not None:
            return saturation
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

    @property
    def _saturation(self) -> str | None:
        """What to do about latents at the ends of their range, or None."""
        if self.saturated_fraction > _FEW_SATURATED and self.step < 1:
            return (
                f"{self.saturated_fraction:.2%} of the latents are saturated at step "
                f"{self.step:g}: pass a larger one (--step), or train a codec of 16 bits (--bits)"
            )
        if self.saturated_fraction > _MANY_SATURATED:
            return (
                f"{self.saturated_fraction:.0%} of the latents are saturated: the codec doesn't "
                f"fit this data; train one on it, or name fill values (--fill-value)"
            )
        return None


def report_on(job: CompressionJob, written: int, elapsed_s: float) -> CompressionReport:
    """Sum up a job that has ended, and its store."""
    return CompressionReport(
        **dataclasses.asdict(summarise(StoreContents(job.store.folder))),
        device=job.codec.device,
        encoder=job.running.encoder["name"],
        step=job.step,
        elapsed_s=elapsed_s,
        samples_written=written,
        zstd_ratio=_zstd_ratio(job.source),
        spread=_spread(job.source, job.survey),
        element_bound=job.guarantee.element_bound,
    )


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
    rows = source.read(0, max(1, min(len(source), _ADVICE_BYTES // source.sample_bytes)))
    return rows.nbytes / len(zstd.compress(rows, 3))
