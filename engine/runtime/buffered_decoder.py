"""Decodes batch after batch into buffers that stay: nothing is allocated or bound again."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.runtime.codec import Codec, check_step
from engine.runtime.forks import no_fork
from engine.runtime.session import BoundRun


class BufferedDecoder:
    """The decoder of a codec at one step; threads share it, each with buffers of its own."""

    def __init__(self, codec: Codec, step: float, batch_samples: int) -> None:
        """Decode at most `batch_samples` at once; the decoder is loaded when first needed.

        Raises:
            InvalidInput: an unusable `step`.
        """
        check_step(step)
        self.batch_samples = batch_samples
        self._codec, self._step = codec, np.array([step], np.float32)
        latent, sample = codec.manifest.latent, codec.manifest.sample
        self._latents = ((batch_samples, *latent.shape), latent.dtype)
        self._samples = ((batch_samples, *sample.shape), sample.working_dtype)
        self._of_thread = threading.local()

    def __call__(self, latents: NDArray[Any]) -> NDArray[Any]:
        """What the decoder returns for latents `(n, *latent_shape)`: floats `(n, elements)`.

        They stay what they are until the same thread decodes again.

        Raises:
            CorruptCodec: onnxruntime can't load the decoder.
            DeviceUnavailable: the device has too little memory, or fails.
        """
        try:
            buffers: _Buffers = self._of_thread.buffers
        except AttributeError:
            made = np.empty(*self._latents), np.empty(*self._samples)
            with no_fork:
                network = self._codec.decoder
            buffers = self._of_thread.buffers = _Buffers(network.bind(self._step), *made)
        return buffers.run(latents)


class _Buffers:
    """Input and output of one thread, which stay bound while the number of samples stays."""

    def __init__(self, bound: BoundRun, latents: NDArray[Any], samples: NDArray[Any]) -> None:
        self._bound, self._latents, self._samples = bound, latents, samples
        self._select(1)

    def run(self, latents: NDArray[Any]) -> NDArray[Any]:
        if len(latents) != len(self._batch):
            self._select(len(latents))
        self._batch[...] = latents
        self._bound(self._batch, self._out)
        return self._flat

    def _select(self, count: int) -> None:
        """Take the first samples of the buffers."""
        self._batch, self._out = self._latents[:count], self._samples[:count]
        self._flat = self._out.reshape(count, -1)
