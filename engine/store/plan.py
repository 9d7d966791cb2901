"""What a store is going to be, decided before the first byte is written."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from engine.codec.files import CERTIFICATE as CODEC_CERTIFICATE
from engine.codec.files import DECODER, ENCODER, MANIFEST, CodecFiles
from engine.geometry import RowGrid
from engine.guarantee import NO_GUARANTEE, Guarantee
from engine.store.arrays import ShardedArray
from engine.store.byte_array import stored_bytes
from engine.store.coding import DEFAULT_CODED, Coded
from engine.store.head import VARIABLE, Part

PART = f"{VARIABLE}/part-0"
LATENTS = "latents"
QUALITY = "quality"
SIDECARS = "sidecars"
RESIDUALS = "residuals"
QUANTISED = "quantised"
VERBATIM = "verbatim"
PATCHED = "patched"
PATCHES = "patches"
CERTIFICATE = f"{VARIABLE}/certificate"
COMMITS = f"{PART}/commits"
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
        has_quality: whether samples are decoded again and their errors stored.
        guarantee: what is promised of every sample.
        keep_latents: whether shards that can do without latents have them, too.
        portable: core Zarr codecs only.
        quantised_dtype: of plainly quantised samples, or None where they don't fit.
        certificate: that of the decoder at `step`, where the codec's own is for another step.
        uses_network: whether shards may be kept by latents, with or without residuals.
        coded: how latents and the arrays that hold samples are coded, by name.
        encoder: what names the encoder of the latents, the codec's own or one made of it.
        source: what identifies the data and the sidecars, by JSON-able values.
    """

    grid: RowGrid
    codec: CodecFiles
    step: float
    quality_unit: float
    sidecars: Mapping[str, SidecarFormat]
    keep_encoder: bool
    source: Mapping[str, Any]
    has_quality: bool = True
    encoder: Mapping[str, Any] = field(default_factory=lambda: {"name": "float32"})
    guarantee: Guarantee = NO_GUARANTEE
    keep_latents: bool = True
    portable: bool = False
    quantised_dtype: np.dtype[Any] | None = None
    certificate: bytes | None = None
    uses_network: bool = True
    coded: Mapping[str, Coded] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What must be equal for a job to go on with a store that another one began."""
        return {
            **self.source,
            "codec": self.codec.digest,
            "encoder": dict(self.encoder),
            "step": self.step,
            "chunk_samples": self.grid.chunk_samples,
            "shard_samples": self.grid.shard_samples,
            "keep_encoder": self.keep_encoder,
            "quality": self.has_quality,
            "guarantee": self.guarantee.to_json(),
            "keep_latents": self.keep_latents,
            "portable": self.portable,
        }

    def differences(self, begun: Mapping[str, Any]) -> list[str]:
        """What differs in the fingerprint that began a store, by name; of encoders also which."""
        names = [name for name, value in self.fingerprint.items() if begun.get(name) != value]
        other = begun.get("encoder")
        kind = other.get("name") if isinstance(other, Mapping) else None
        own = self.encoder["name"]
        shown = "encoder" if kind == own else f"encoder {kind!r:.20}, not {own!r}"
        return [shown if name == "encoder" else name for name in names]

    @cached_property
    def store_id(self) -> str:
        """32 hexadecimal digits; equal jobs give equal stores, to the last byte."""
        canonical = json.dumps(self.fingerprint, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]

    @cached_property
    def arrays(self) -> tuple[ShardedArray, ...]:
        """The arrays of the part, in the order of the ledger's records.

        A shard may lack latents and those that keep a guarantee.
        """
        latent = self.codec.manifest.latent
        whole = RowGrid(self.grid.samples, self.grid.shard_samples, self.grid.shard_samples)
        unit = {"columns": list(QUALITY_COLUMNS), "unit": self.quality_unit}
        quality = ShardedArray(QUALITY, whole, (len(QUALITY_COLUMNS),), np.dtype("u1"), 255, unit)
        coded = self.coded.get(LATENTS, DEFAULT_CODED)
        return (
            ShardedArray(
                LATENTS, self.grid, latent.shape, latent.dtype, latent.fill_value, coded=coded
            ),
            *([quality] if self.has_quality else []),
            *(
                ShardedArray(f"{SIDECARS}/{name}", whole, s.item_shape, s.dtype, 0, s.attributes)
                for name, s in sorted(self.sidecars.items())
            ),
            *(self._samples(name, dtype) for name, dtype in self._sample_dtypes().items()),
        )

    def array(self, name: str) -> ShardedArray:
        """The array of a name."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, ShardedArray]:
        return {array.name: array for array in self.arrays}

    def with_coded(self, arrays: Mapping[str, ShardedArray]) -> StorePlan:
        """The same plan as the one that `arrays` come from: what was measured stays."""
        names = (LATENTS, *self._sample_dtypes())
        coded = {name: arrays[name].coded for name in names if name in arrays}
        used = RESIDUALS in arrays or not self.may_do_without_network
        plan = dataclasses.replace(self, coded=coded)
        return plan if used else plan.without_network()

    @property
    def may_do_without_network(self) -> bool:
        """Whether the guarantee can be kept by the samples alone, and nobody wants latents."""
        return self.guarantee.kind != "none" and not self.keep_latents

    def without_network(self) -> StorePlan:
        """The same plan for a store that the network would make larger."""
        coded = {name: coded for name, coded in self.coded.items() if name != LATENTS}
        return dataclasses.replace(self, uses_network=False, certificate=None, coded=coded)

    @property
    def network_bytes(self) -> int:
        """What the networks and their certificate take in the store, metadata included."""
        contents = [content for name, content in self.codec_contents.items() if name != MANIFEST]
        if self.certificate is not None:
            contents.append(self.certificate)
        return sum(map(stored_bytes, contents))

    def _sample_dtypes(self) -> dict[str, np.dtype[Any]]:
        """The arrays that keep a guarantee, all shaped like the samples, by name."""
        if self.guarantee.is_plain:
            return {}
        own, mask = self.codec.manifest.sample.dtype, np.dtype(np.uint8)
        patches = {PATCHED: mask, PATCHES: own}
        if self.guarantee.kind == "none":
            return patches
        quantised = {QUANTISED: self.quantised_dtype} if self.quantised_dtype else {}
        residuals = {RESIDUALS: np.dtype(np.int16)} if self.uses_network else {}
        return {**residuals, **quantised, VERBATIM: own, **patches}

    def _samples(self, name: str, dtype: np.dtype[Any]) -> ShardedArray:
        shape = self.codec.manifest.sample.shape
        coded = self.coded.get(name, DEFAULT_CODED)
        return ShardedArray(name, self.grid, shape, dtype, 0, coded=coded)

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
            "guarantee": self.guarantee.to_json(),
            "step": self.step,
        }

    @property
    def codec_contents(self) -> dict[str, bytes]:
        """The codec's files that go into the store, the manifest included.

        A store that needs no network may have been left with the manifest alone.
        """
        roles = set()
        if self.uses_network or self.keep_latents:
            roles |= {DECODER} | ({ENCODER} if self.keep_encoder else set())
        if self.uses_network and self.guarantee.needs_certificate and self.certificate is None:
            roles.add(CODEC_CERTIFICATE)
        names = [entry.name for entry in self.codec.manifest.files if entry.role in roles]
        return {MANIFEST: self.codec.manifest_json} | {
            name: self.codec.contents[name] for name in names if name in self.codec.contents
        }
