"""Runs batch after batch through buffers that stay: nothing is allocated or bound for each."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.runtime.codec import Codec, check_step
from engine.runtime.forks import no_fork
from engine.runtime.session import BoundRun


class BufferedNetworks:
    """The networks of a codec at one step; threads share it, each with buffers of its own.

    What comes in and goes out lies in memory of the host.
    """

    def __init__(self, codec: Codec, step: float, batch_samples: int) -> None:
        """Run at most `batch_samples` at once; a network is loaded when first needed.

        Raises:
            InvalidInput: an unusable `step`.
        """
        check_step(step)
        self.batch_samples = batch_samples
        self._codec, self._step = codec, np.array([step], np.float32)
        self._of_thread = threading.local()

    def encode(self, samples: NDArray[Any]) -> NDArray[Any]:
        """Latents `(n, *latent_shape)` of samples `(n, *sample_shape)`, in C order.

        They stay what they are until the same thread encodes or decodes again.

        Raises:
            CorruptCodec: onnxruntime can't load the encoder.
            DeviceUnavailable: the device has too little memory, or fails.
        """
        return self._buffers().encode(samples)

    def decode(self, latents: NDArray[Any]) -> NDArray[Any]:
        """What the decoder returns for latents `(n, *latent_shape)`: floats `(n, elements)`.

        They stay what they are until the same thread decodes again. Takes what `encode` returned
        as it is.

        Raises:
            CorruptCodec: onnxruntime can't load the decoder.
            DeviceUnavailable: the device has too little memory, or fails.
        """
        return self._buffers().decode(latents)

    def _buffers(self) -> _Buffers:
        """Those of the calling thread."""
        try:
            buffers: _Buffers = self._of_thread.buffers
        except AttributeError:
            buffers = _Buffers(self._codec, self._step, self.batch_samples)
            self._of_thread.buffers = buffers
        return buffers


class _Buffers:
    """Latents and samples of one thread, which stay bound while the number of samples stays."""

    def __init__(self, codec: Codec, step: NDArray[np.float32], batch_samples: int) -> None:
        latent, sample = codec.manifest.latent, codec.manifest.sample
        self._codec, self._step = codec, step
        self._all_latents = np.empty((batch_samples, *latent.shape), latent.dtype)
        self._all_samples = np.empty((batch_samples, *sample.shape), sample.working_dtype)
        self._encoder: BoundRun | None = None
        self._decoder: BoundRun | None = None
        self._select(1)

    def encode(self, samples: NDArray[Any]) -> NDArray[Any]:
        if self._encoder is None:
            with no_fork:
                self._encoder = self._codec.encoder.bind(self._step)
        if len(samples) != len(self._latents):
            self._select(len(samples))
        self._encoder(samples, self._latents)
        return self._latents

    def decode(self, latents: NDArray[Any]) -> NDArray[Any]:
        if self._decoder is None:
            with no_fork:
                self._decoder = self._codec.decoder.bind(self._step)
        if latents is not self._latents:
            if len(latents) != len(self._latents):
                self._select(len(latents))
            self._latents[...] = latents
        self._decoder(self._latents, self._samples)
        return self._flat

    def _select(self, count: int) -> None:
        """Take the first samples of the buffers."""
        self._latents, self._samples = self._all_latents[:count], self._all_samples[:count]
        self._flat = self._samples.reshape(count, -1)
