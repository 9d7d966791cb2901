"""What a promise means, written down once more: counted element by element against raw arrays."""

import contextlib
import math

import numpy as np
import onnxruntime
import pytest

from engine.runtime import drift
from engine.runtime.session import BoundRun


def same(one, other):
    """Which elements have the same bits."""
    bits = f"u{one.dtype.itemsize}"
    return np.ascontiguousarray(one).view(bits) == np.ascontiguousarray(other).view(bits)


def apart(found, samples):
    """Absolute error of each element, in float64 and in the samples' own dtype; 0 where equal."""
    with np.errstate(all="ignore"):
        if samples.dtype.kind == "f":
            errors = [np.abs(found.astype("f8") - samples.astype("f8")), np.abs(found - samples)]
        else:  # where integers wrap around, the larger minus the smaller is still right
            difference = np.maximum(found, samples) - np.minimum(found, samples)
            errors = [difference.view(f"u{difference.itemsize}")] * 2
    equal = same(found, samples)
    return [np.where(equal, 0, error).astype("f8") for error in errors]


def broken(found, samples, guarantee):
    """How many elements, and samples of too low a PSNR, break a promise."""
    if guarantee.kind == "lossless":
        return np.count_nonzero(~same(found, samples))
    fill = np.array([samples.dtype.type(value) for value in guarantee.fill_values], samples.dtype)
    kept = np.isin(samples, fill) | ~np.isfinite(samples)
    count = np.count_nonzero(kept & ~same(found, samples))
    errors = apart(found, samples)
    if guarantee.kind == "max-error":
        count += np.count_nonzero(~(np.maximum(*errors) <= guarantee.max_error))
    elif guarantee.kind == "min-psnr":
        count += np.count_nonzero(~(psnr(errors[0], guarantee.peak) >= guarantee.min_psnr))
    return count


def psnr(errors, peak):
    """Decibels of each sample, infinite where there is no error."""
    with np.errstate(over="ignore"):
        mse = np.square(errors.reshape(len(errors), -1).astype(np.longdouble)).mean(axis=1)
    decibels = np.full(len(errors), math.inf)
    noisy = mse > 0
    with np.errstate(divide="ignore"):  # of constant data any error is infinitely large
        decibels[noisy] = 20 * np.log10(peak) - 10 * np.log10(mse[noisy])
    return decibels


def moved(y, distance):
    """A decoder's output `distance` away, or as near to that as its dtype lets it be within."""
    with np.errstate(all="ignore"):
        wide, limit = y.astype("f8"), np.abs(distance)
        result = (wide + distance).astype(y.dtype)
        inward = np.nextafter(result, y)
        result = np.where(np.abs(result.astype("f8") - wide) > limit, inward, result)
        return np.where(np.abs(result.astype("f8") - wide) > limit, y, result)


def drifting(distance, rng=None):
    """A machine whose decoders are `distance` off: all the same way, or either way at random."""

    def drift_apart(_, output):
        signs = 1 if rng is None else rng.choice((-1, 1), output.shape)
        return moved(output, distance * signs)

    return decoding_otherwise(drift_apart)


@contextlib.contextmanager
def decoding_otherwise(change):
    """A machine whose decoders return `change(latents, output)`, whichever way they are run."""
    run = onnxruntime.InferenceSession.run

    def run_otherwise(session, names, feeds, *more):
        output = run(session, names, feeds, *more)[0]
        return [change(feeds["latents"], output) if "latents" in feeds else output]

    def run_bound(bound, batch, out):
        network = bound._network
        out[...] = network.session.run(None, {network.input_name: batch, "step": bound._step})[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime.InferenceSession, "run", run_otherwise)
        patch.setattr(BoundRun, "__call__", run_bound)
        patch.setattr(drift, "_passed", set())  # another machine knows nothing of this one
        yield
