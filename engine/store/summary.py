"""What a store holds and costs, from its ledger and its objects."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine.errors import IncompleteStore
from engine.quality import peak_value, psnr_db
from engine.store.contents import StoreContents
from engine.store.ledger import Mode
from engine.store.plan import LATENTS


@dataclass(frozen=True)
class StoreSummary:
    """Sizes and quality of a store; errors are in the samples' units.

    `samples` counts those that are committed: all, unless the store is still being written.
    Errors and PSNR are NaN where nothing was measured.
    `stored_bytes` counts every object: latents, decoder, encoder, quality, sidecars, metadata and
    ledger. `psnr_db` is that of the mean squared error over all samples, `worst_psnr_db` that of
    the worst sample; the peak is the dtype's range for uint8 and uint16, else that of the data.
    `modes` counts the shards by the way their samples are kept, `exceptions` the samples and
    `patches` the elements that are kept as they are.
    """

    samples: int
    sample_shape: tuple[int, ...]
    dtype: str
    raw_bytes: int
    stored_bytes: int
    latent_bytes: int
    codec_bytes: int
    psnr_db: float
    worst_psnr_db: float
    max_abs_error: float
    data_min: float
    data_max: float
    saturated_fraction: float
    guarantee: str
    modes: dict[str, int]
    exceptions: int
    patches: int

    @property
    def ratio(self) -> float:
        """Raw bytes for each stored byte, everything counted."""
        return self.raw_bytes / self.stored_bytes


def summarise(contents: StoreContents) -> StoreSummary:
    """Sum up a store, as far as it is committed.

    Raises:
        IncompleteStore: nothing is.
    """
    sample = contents.codec_files.manifest.sample
    latent = contents.codec_files.manifest.latent
    ledger = contents.ledger[contents.committed]
    if not len(ledger):
        raise IncompleteStore(f"{contents.objects}: nothing was committed yet")
    samples = int((ledger["row_stop"] - ledger["row_start"]).sum())
    # A shard without a single value, all of it NaN, has no range.
    data_min = float(np.fmin.reduce(ledger["data_min"]))
    data_max = float(np.fmax.reduce(ledger["data_max"]))
    peak = peak_value(sample.dtype, data_min, data_max)
    mean_squared_error = float(ledger["sum_squared_error"].sum()) / (
        samples * math.prod(sample.shape)
    )
    return StoreSummary(
        samples=samples,
        sample_shape=sample.shape,
        dtype=sample.dtype.name,
        raw_bytes=samples * sample.size_bytes,
        stored_bytes=contents.objects.size_bytes(),
        latent_bytes=contents.stored_bytes(LATENTS),
        codec_bytes=sum(
            size for key, (size, _) in contents.head.objects.items() if key.startswith("codecs/")
        ),
        psnr_db=psnr_db(mean_squared_error, peak),
        worst_psnr_db=psnr_db(float(ledger["worst_mse"].max()), peak),
        max_abs_error=float(ledger["max_abs_error"].max()),
        data_min=data_min,
        data_max=data_max,
        saturated_fraction=int(ledger["saturated"].sum()) / (samples * math.prod(latent.shape)),
        guarantee=str(contents.guarantee),
        modes={mode.name.lower(): int((ledger["mode"] == mode).sum()) for mode in Mode},
        exceptions=int(ledger["exceptions"].sum()),
        patches=int(ledger["patches"].sum()),
    )
