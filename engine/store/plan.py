"""What a store is going to be, decided before the first byte is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from engine.codec.files import DECODER, ENCODER, MANIFEST, CodecFiles
from engine.geometry import RowGrid
from engine.store.arrays import ShardedArray
from engine.store.head import VARIABLE, Part

PART = f"{VARIABLE}/part-0"
LATENTS = "latents"
QUALITY = "quality"
SIDECARS = "sidecars"
LEDGER = "ledger"
QUALITY_COLUMNS = ("max_abs_error", "mse")


@dataclass(frozen=True)
class SidecarFormat:
    """An array carried along, one item a sample: what one item is, and how text is kept."""

    item_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class StorePlan:
    """Everything that decides the bytes of a store, but for the samples themselves.

    Args of the dataclass:
        grid: how samples fall into chunks and shards.
        codec: the codec that decodes the store.
        step: scale of the quantiser.
        quality_unit: the error, in the samples' units, that the codes of `quality` count from.
        sidecars: formats of the arrays carried along, by name.
        keep_encoder: whether the encoder lies in the store too.
        source: what identifies the data and the sidecars, by JSON-able values.
    """

    grid: RowGrid
    codec: CodecFiles
    step: float
    quality_unit: float
    sidecars: Mapping[str, SidecarFormat]
    keep_encoder: bool
    source: Mapping[str, Any]

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What must be equal for a job to go on with a store that another one began."""
        return {
            **self.source,
            "codec": self.codec.digest,
            "step": self.step,
            "chunk_samples": self.grid.chunk_samples,
            "shard_samples": self.grid.shard_samples,
            "keep_encoder": self.keep_encoder,
        }

    @cached_property
    def store_id(self) -> str:
        """32 hexadecimal digits; equal jobs give equal stores, to the last byte."""
        canonical = json.dumps(self.fingerprint, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]

    @cached_property
    def arrays(self) -> tuple[ShardedArray, ...]:
        """The arrays with an object in every shard, in the order of the ledger's records."""
        latent = self.codec.manifest.latent
        whole = RowGrid(self.grid.samples, self.grid.shard_samples, self.grid.shard_samples)
        quality = {"columns": list(QUALITY_COLUMNS), "unit": self.quality_unit}
        return (
            ShardedArray(LATENTS, self.grid, latent.shape, latent.dtype, latent.fill_value),
            ShardedArray(QUALITY, whole, (len(QUALITY_COLUMNS),), np.dtype(np.uint8), 255, quality),
            *(
                ShardedArray(f"{SIDECARS}/{name}", whole, s.item_shape, s.dtype, 0, s.attributes)
                for name, s in sorted(self.sidecars.items())
            ),
        )

    @property
    def part(self) -> Part:
        """The one part of a store written in one go."""
        grid = self.grid
        names = tuple(array.name for array in self.arrays)
        return Part(PART, grid.samples, grid.chunk_samples, grid.shard_samples, names)

    @property
    def variable_attributes(self) -> dict[str, Any]:
        """Attributes of the variable's group."""
        sample = self.codec.manifest.sample
        return {
            "array_shape": [self.grid.samples, *sample.shape],
            "tile": list(sample.shape),
            "grid": [self.grid.samples],
            "dtype": sample.dtype.name,
            "dimension_names": ["sample", *(f"axis_{i}" for i in range(1, len(sample.shape) + 1))],
            "guarantee": {"kind": "none"},
            "step": self.step,
        }

    @property
    def codec_contents(self) -> dict[str, bytes]:
        """The codec's files that go into the store, the manifest included."""
        roles = (ENCODER, DECODER) if self.keep_encoder else (DECODER,)
        names = [self.codec.manifest.file(role).name for role in roles]
        return {MANIFEST: self.codec.manifest_json} | {
            name: self.codec.contents[name] for name in names
        }
