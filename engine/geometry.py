"""How the samples of a dataset fall into chunks, shards and parts: pure arithmetic, no I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.errors import InvalidInput

MAX_CHUNK_SAMPLES = 256
TARGET_CHUNK_BYTES = 32 * 1024
MAX_SHARD_SAMPLES = 32768
TARGET_SHARD_RAW_BYTES = 64 * 1024 * 1024
SHARDS_PER_ROUND = 8
# Under a guarantee a random read decompresses the samples of a chunk, and a job holds all that it
# tries on a shard: both are kept small.
GUARANTEED_CHUNK_RAW_BYTES = 256 * 1024
GUARANTEED_SHARD_RAW_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class RowGrid:
    """A run of `samples` rows cut into shards of whole chunks; only the last ones may be short."""

    samples: int
    chunk_samples: int
    shard_samples: int

    def __post_init__(self) -> None:
        """Refuse sizes that Zarr's sharding can't hold."""
        if min(self.samples, self.chunk_samples, self.shard_samples) < 1:
            raise InvalidInput(
                f"samples, chunk_samples and shard_samples must be at least 1, "
                f"got {self.samples}, {self.chunk_samples} and {self.shard_samples}"
            )
        if self.shard_samples % self.chunk_samples:
            raise InvalidInput(
                f"shard_samples must be a multiple of chunk_samples = {self.chunk_samples}, "
                f"got {self.shard_samples}"
            )

    @property
    def shard_count(self) -> int:
        """Number of shards."""
        return -(-self.samples // self.shard_samples)

    @property
    def chunks_per_shard(self) -> int:
        """Number of chunks in a full shard; a short shard has fewer, its index does not."""
        return self.shard_samples // self.chunk_samples

    def shard_rows(self, shard: int) -> tuple[int, int]:
        """First row of a shard and the row after its last."""
        start = shard * self.shard_samples
        return start, min(start + self.shard_samples, self.samples)

    def shard_size(self, shard: int) -> int:
        """Number of rows in a shard."""
        start, stop = self.shard_rows(shard)
        return stop - start

    def locate(self, row: int) -> tuple[int, int, int]:
        """Shard, chunk within the shard and row within the chunk of a row."""
        shard, within = divmod(row, self.shard_samples)
        chunk, offset = divmod(within, self.chunk_samples)
        return shard, chunk, offset


def plan_grid(
    samples: int,
    sample_bytes: int,
    latent_bytes: int,
    chunk_samples: int | None = None,
    shard_samples: int | None = None,
    *,
    guaranteed: bool = False,
) -> RowGrid:
    """Choose chunk and shard sizes from the data alone, so that every machine chooses alike.

    A chunk is what one random read costs (about 32 KiB of latents, or 256 KiB of raw samples where
    a guarantee keeps something of these), a shard what one kill can lose (about 64 MiB of raw
    samples, 4 MiB under a guarantee). Data of many chunks has a multiple of 8 shards, so that the
    usual numbers of cores end together.

    Raises:
        InvalidInput: sizes that Zarr's sharding can't hold.
    """
    shard_bytes = GUARANTEED_SHARD_RAW_BYTES if guaranteed else TARGET_SHARD_RAW_BYTES
    if chunk_samples is None:
        chunk_bytes = GUARANTEED_CHUNK_RAW_BYTES if guaranteed else shard_bytes
        fitting = min(TARGET_CHUNK_BYTES // latent_bytes, chunk_bytes // sample_bytes)
        chunk_samples = _chunk_samples(fitting, shard_samples)
    if shard_samples is None:
        largest = max(1, min(MAX_SHARD_SAMPLES, shard_bytes // sample_bytes))
        rounds = math.ceil(samples / largest / SHARDS_PER_ROUND)
        wanted = samples / (rounds * SHARDS_PER_ROUND)
        shard_samples = math.ceil(wanted / max(1, chunk_samples)) * chunk_samples
    return RowGrid(samples, chunk_samples, shard_samples)


def _chunk_samples(fitting: int, shard_samples: int | None) -> int:
    """A power of two that fits, or the largest divisor of a given `shard_samples` below it."""
    wanted = min(MAX_CHUNK_SAMPLES, 1 << (max(1, fitting).bit_length() - 1))
    if shard_samples is None:
        return wanted
    return max(size for size in range(1, wanted + 1) if shard_samples % size == 0)
