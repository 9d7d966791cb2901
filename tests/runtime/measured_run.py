"""Runs a measured encoder over samples."""

from engine.runtime.measured_batch import MeasuredBatch


def run(encoder, codec, samples, *, measured=True):
    """The batch that an encoder fills, of which nothing was set before."""
    out = MeasuredBatch.empty(len(samples), codec.manifest.latent, measured=measured)
    out.latents.fill(99)
    for errors in out.errors or ():
        errors.fill(-1)
    encoder(samples, out)
    return out
