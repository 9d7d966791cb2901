"""Decodes batch after batch into buffers that stay: nothing is allocated or bound again."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.runtime.codec import Codec, check_step
from engine.runtime.forks import no_fork
from engine.runtime.session import BoundRun, Network


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
            buffers = self._of_thread.buffers = _Buffers(network, self._step, *made)
        return buffers.run(latents)


class _Buffers(BoundRun):
    """Input and output of one thread, bound once for each change of the number of samples."""

    def __init__(
        self,
        network: Network,
        step: NDArray[np.float32],
        latents: NDArray[Any],
        samples: NDArray[Any],
    ) -> None:
        super().__init__(network, step)
        self._latents, self._samples = latents, samples
        self._select(1)
        self._is_bound = False

    def run(self, latents: NDArray[Any]) -> NDArray[Any]:
        if len(latents) != len(self._batch):
            self._select(len(latents))
        self._batch[...] = latents
        if self._is_bound:
            self._run_again()
        else:
            self(self._batch, self._out)
            # What is bound to a session on another device was copied there, and stays as it was.
            self._is_bound = self._network.device == "cpu"
        return self._flat

    def _select(self, count: int) -> None:
        """Take the first samples of the buffers."""
        self._batch, self._out = self._latents[:count], self._samples[:count]
        self._flat = self._out.reshape(count, -1)
        self._is_bound = False

    def _run_again(self) -> None:
        """What is bound stays bound: binding takes longer than decoding one small sample."""
        try:
            self._network.session.run_with_iobinding(self._binding)
        except Exception:
            with self._network.failures_named():
                raise
