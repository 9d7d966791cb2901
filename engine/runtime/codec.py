"""A codec that runs: encode samples to integer latents and decode them again."""

from __future__ import annotations

import functools
import math
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cuda_kernels.error_statistics.reference import finish
from engine.codec.files import DECODER, ENCODER, CodecFiles
from engine.codec.manifest import Manifest
from engine.errors import InvalidInput
from engine.limits import DEFAULT_MEMORY_LIMIT
from engine.runtime.device import Device, resolve_device
from engine.runtime.session import Network

# Elements and samples of one run at most: what stays in a CPU's cache, what keeps a GPU busy.
_BATCH_LIMITS: dict[Device, tuple[int, int]] = {"cpu": (1 << 18, 256), "cuda": (1 << 22, 4096)}


class Codec:
    """A trained codec: networks on a device, opened on first use.

    Attributes:
        manifest: what the codec takes and makes.
        files: the codec's files.
        device: `cpu` or `cuda`.
        threads: that work on one batch, 0 for all cores.
        encoder_name: `float32`, or the kind of a cheaper encoder that is used instead.
    """

    def __init__(self, files: CodecFiles, device: str = "auto", threads: int = 0) -> None:
        """Wrap the files of a codec; see `Codec.load` for a folder.

        Args:
            files: manifest and networks.
            device: `auto`, `cpu` or `cuda`.
            threads: threads that work on one batch, 0 for all cores.
        """
        self.files = files
        self.device: Device = resolve_device(device)
        self.threads = threads
        self.encoder_name = "float32"
        self._variant: bytes | None = None
        self._networks: dict[str, Network] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        device: str = "auto",
        *,
        max_memory_bytes: int = DEFAULT_MEMORY_LIMIT,
    ) -> Codec:
        """Open a codec folder.

        Args:
            path: the folder.
            device: `auto`, `cpu` or `cuda`.
            max_memory_bytes: what its networks may take, loaded and run on one sample.

        Raises:
            InvalidInput: there is no such folder.
            CorruptCodec: it isn't a codec, or is damaged, or asks for more memory.
            DeviceUnavailable: `device` can't run networks here.
        """
        return cls(CodecFiles.load(path, max_memory_bytes), device)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the codec folder, atomically."""
        self.files.save(path, overwrite=overwrite)

    def on(self, device: str, threads: int = 0) -> Codec:
        """The same codec on another device, or with another number of threads per batch."""
        codec = Codec(self.files, device, threads)
        codec.encoder_name, codec._variant = self.encoder_name, self._variant
        return codec

    def with_encoder(self, name: str, content: bytes) -> Codec:
        """The same codec, which encodes with a cheaper graph of that name than its files'.

        `content` comes from `make_variant`: it isn't checked as files are. Files, manifest and
        digest stay: what decodes, and what a store keeps, is the same.
        """
        codec = self.on(self.device, self.threads)
        codec.encoder_name, codec._variant = name, content
        return codec

    @property
    def manifest(self) -> Manifest:
        """What the codec takes and makes."""
        return self.files.manifest

    @property
    def digest(self) -> str:
        """sha256 that names this codec."""
        return self.files.digest

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.manifest.sample.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of samples."""
        return self.manifest.sample.dtype

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one sample's latents."""
        return self.manifest.latent.shape

    @functools.cached_property
    def roles(self) -> tuple[str, ...]:
        """The networks that this copy of the codec has: `encoder`, `decoder`, both or none."""
        roles = {entry.role for entry in self.manifest.files if entry.name in self.files.contents}
        return tuple(role for role in (ENCODER, DECODER) if role in roles)

    @functools.cached_property
    def batch_samples(self) -> int:
        """Samples per run of a network: what suits the device, within the limit on memory."""
        return min(batch_samples(self.sample_shape, self.device), self.largest_batch)

    @functools.cached_property
    def largest_batch(self) -> int:
        """Samples per run of any of its networks that the limit on memory allows."""
        return min(map(self._fitting, self.roles), default=sys.maxsize)

    def _fitting(self, role: str) -> int:
        """Samples per run of one network that the limit on memory allows."""
        memory = self.files.memory(role)
        free = self.files.max_memory_bytes - memory.loaded_bytes
        return max(1, free // max(1, memory.sample_bytes))

    def encode(self, batch: ArrayLike, step: float = 1.0) -> NDArray[Any]:
        """Integer latents `(n, *latent_shape)` of samples `(n, *sample_shape)`.

        Raises:
            InvalidInput: wrong dtype or shape, values that are not finite, or an unusable `step`.
        """
        samples = self._checked(batch)
        check_finite(samples)
        return self._in_batches(
            ENCODER, samples, step, self.latent_shape, self.manifest.latent.dtype
        )

    def decode(self, latents: ArrayLike, step: float = 1.0) -> NDArray[Any]:
        """Samples `(n, *sample_shape)`, in the samples' dtype, of latents `(n, *latent_shape)`.

        Raises:
            InvalidInput: wrong dtype or shape, or an unusable `step`.
        """
        return finish(self.reconstruct(latents, step), self.dtype)

    def reconstruct(self, latents: ArrayLike, step: float = 1.0) -> NDArray[Any]:
        """What the decoder returns for latents: floats in physical units, not yet rounded."""
        values = np.asarray(latents)
        expected = self.manifest.latent
        if values.dtype != expected.dtype or values.shape[1:] != expected.shape:
            raise InvalidInput(
                f"latents must be {expected.dtype} of shape (n, {_dims(expected.shape)}), "
                f"got {values.dtype} of shape {values.shape}"
            )
        return self._in_batches(
            DECODER, values, step, self.sample_shape, self.manifest.sample.working_dtype
        )

    def features(self, batch: ArrayLike, step: float = 1.0) -> NDArray[np.float32]:
        """Float32 latents `(n, *latent_shape)`, equal to what a store returns for the samples."""
        return self.manifest.latent.dequantise(self.encode(batch, step), step)

    @property
    def encoder(self) -> Network:
        """The encoder on this codec's device: raw samples in, integer latents out."""
        return self._network(ENCODER)

    @property
    def decoder(self) -> Network:
        """The decoder on this codec's device: integer latents in, unfinished floats out."""
        return self._network(DECODER)

    def network_content(self, role: str) -> bytes:
        """The graph that plays a role: that of the files, or a cheaper encoder."""
        variant = self._variant if role == ENCODER else None
        return self.files.role(role) if variant is None else variant

    def _network(self, role: str) -> Network:
        with self._lock:
            if role not in self._networks:
                content = self.network_content(role)
                self._networks[role] = Network(content, self.device, self.threads)
            return self._networks[role]

    def _checked(self, batch: ArrayLike) -> NDArray[Any]:
        samples = np.ascontiguousarray(batch)
        if samples.dtype != self.dtype or samples.shape[1:] != self.sample_shape:
            raise InvalidInput(
                f"this codec takes {self.dtype} samples of shape (n, {_dims(self.sample_shape)}), "
                f"got {samples.dtype} of shape {samples.shape}"
            )
        return samples

    def _in_batches(
        self,
        role: str,
        values: NDArray[Any],
        step: float,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> NDArray[Any]:
        check_step(step)
        result = np.empty((len(values), *shape), dtype)
        scale = np.array([step], np.float32)
        network = self._network(role)
        size = min(batch_samples(self.sample_shape, self.device), self._fitting(role))
        for start, stop in batches(len(values), size):
            result[start:stop] = network(values[start:stop], scale)
        return result


def batch_samples(sample_shape: tuple[int, ...], device: Device = "cpu") -> int:
    """Samples per run of a network, a power of two that suits the device."""
    elements, samples = _BATCH_LIMITS[device]
    fitting = max(1, min(samples, elements // math.prod(sample_shape)))
    return 1 << (fitting.bit_length() - 1)


def batches(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut `count` rows into runs of `size`; the last may be short."""
    for start in range(0, count, size):
        yield start, min(start + size, count)


def check_step(step: float) -> None:
    """Refuse a scale of the quantiser that the networks, which take it as float32, can't use.

    Raises:
        InvalidInput: it isn't a positive float32.
    """
    limits = np.finfo(np.float32)
    if not float(limits.tiny) <= step <= float(limits.max):
        raise InvalidInput(f"step must be a positive number that float32 holds, got {step}")


def check_finite(samples: NDArray[Any], first_row: int = 0) -> None:
    """Refuse NaN and Inf, which a network would silently turn into ordinary latents.

    Raises:
        InvalidInput: names the first offending index, counting rows from `first_row`.
    """
    if samples.dtype.kind != "f" or np.isfinite(samples).all():
        return
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(samples))[0])
    raise InvalidInput(
        f"sample {first_row + index[0]} holds {samples[index]} at index "
        f"{(first_row + index[0], *index[1:])}; compress keeps such values with nonfinite='keep' "
        f"(--nonfinite keep) or a guarantee, train replaces them with fill_gaps (--fill-gaps)"
    )


def _dims(shape: tuple[int, ...]) -> str:
    return ", ".join(str(size) for size in shape)
