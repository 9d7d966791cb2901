"""Lanes on the CPU with the kernels of a GPU, in Triton's interpreter: a process of its own."""

import sys

import numpy as np

from engine import Codec
from engine.runtime.device_encoding import DeviceEncoder
from engine.runtime.device_kernels import kernels_on
from engine.runtime.device_reader import DeviceReader, StoredRows
from engine.runtime.device_shard import DeviceNetworks
from engine.runtime.measured_batch import MeasuredBatch
from engine.runtime.quantiser import Bounds

BATCH = 8
BOUNDS = Bounds(1.5, 0.01, 0.75)
BASE = 61.0


def measure(codec, samples, kernels=None):
    """Latents and errors."""
    encoder = DeviceEncoder(codec, 1.0, BATCH)
    networks = encoder._lanes.mine().networks
    networks.kernels = kernels or networks.kernels
    out = MeasuredBatch.empty(len(samples), codec.manifest.latent, measured=True)
    encoder(samples, out)
    return [out.latents, *out.errors]


def quantise(codec, samples, verbatim, kernels=None):
    """All that two quantisations find."""
    networks = DeviceNetworks(codec, 1.0, BATCH)
    started = networks.start(len(samples), reconstructs=True)
    started(slice(0, len(samples)), samples, samples)
    quantiser = started.quantiser(samples, verbatim)
    quantiser._kernels = kernels or quantiser._kernels
    found = [quantiser(base, BOUNDS, np.dtype("i2")) for base in (None, BASE)]
    return [values for one in found for values in vars(one).values()]


def read(codec, latents, residuals, kernels=None):
    """Samples without and with residuals, of latents and of a constant."""
    reader = DeviceReader(codec, 1.0, BATCH)
    lane, steps = reader._lanes.mine(), np.full(len(latents), 1.5)
    lane.kernels = kernels or lane.kernels
    results = []
    for stored in (
        StoredRows(latents),
        StoredRows(latents, residuals, steps),
        StoredRows(None, residuals, steps, BASE),
    ):
        out = reader.empty(len(latents))
        reader.decode(stored, out)
        results.append(reader.to_host(out))
    return results


def everything(codec, samples, kernels=None):
    """What all of them find, one array after another."""
    measured = measure(codec, samples, kernels)
    verbatim = np.arange(samples.size).reshape(samples.shape) % 11 == 0
    quantised = quantise(codec, samples, verbatim, kernels)
    return [*measured, *quantised, *read(codec, measured[0], quantised[0], kernels)]


if __name__ == "__main__":
    from triton.runtime.interpreter import InterpretedFunction

    from cuda_kernels.error_statistics.kernel import finish_kernel

    if not isinstance(finish_kernel, InterpretedFunction):
        sys.exit("TRITON_INTERPRET=1 was not set: this is not the interpreter")
    codec_path, samples_path, results_path = sys.argv[1:]
    found = everything(Codec.load(codec_path, "cpu"), np.load(samples_path), kernels_on("cuda"))
    np.savez(results_path, *found)
