"""Samples as hostile as their dtypes let them be."""

import math

import numpy as np

INTEGERS = [f"{kind}{size}" for kind in "ui" for size in (1, 2, 4, 8)]
FLOATS = ["f2", "f4", "f8"]
SHAPES = [(1,), (37,), (12, 9), (6, 8, 3), (1, 8, 8), (3, 4, 5, 6)]
LIMITS = {"f2": 6e4, "f4": 3e38, "f8": 1e300}


def smooth(rng, shape):
    """Fields in 0..1 that principal components know something of."""
    axes = [np.linspace(0, 1, size) for size in shape[1:]]
    waves = rng.uniform(-3, 3, (shape[0], 4, len(axes)))
    phases = rng.uniform(0, 6, (shape[0], 4, *[1] * len(axes)))
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    values = np.sin(np.tensordot(waves, grid, 1) + phases).mean(axis=1)
    return (values + 1) / 2


def of_dtype(values, dtype):
    """Values in 0..1 brought to what such samples usually are."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return (270 + 40 * values).astype(dtype)
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -(2**31)), min(limits.max, 2**31)
    return np.rint(low + values * (high - low)).astype(dtype)


def draw(rng, kind, count, shape, dtype):
    """Samples of one kind, as hostile as their dtype lets them be."""
    dtype = np.dtype(dtype)
    samples = of_dtype(smooth(rng, (count, *shape)), dtype)
    if kind == "noise":
        samples = of_dtype(rng.random((count, *shape)), dtype)
    elif kind == "constant":
        samples[:] = samples.flat[0]
    elif kind == "one constant in noise":
        samples = of_dtype(rng.random((count, *shape)), dtype)
        samples[count // 2] = samples.flat[0]
    elif kind == "fill":
        chosen = rng.random((1, *shape)) < 0.3
        fill = rng.choice([-9999, 1e20 if dtype.itemsize > 2 else 3e4])
        samples[:, chosen[0]] = fill if dtype.kind == "f" else np.iinfo(dtype).min
    elif kind == "strange":
        samples = strange(rng, samples)
    return samples


def strange(rng, samples):
    """The same with elements that no arithmetic likes."""
    dtype = samples.dtype
    if dtype.kind == "f":
        limit = LIMITS[dtype.str[1:]]
        bits = np.array([math.nan, -math.nan, math.inf, -math.inf], dtype).view(
            f"u{dtype.itemsize}"
        )
        payloads = (bits | np.array([5, 77, 0, 0], bits.dtype)).view(dtype)
        values = [-0.0, limit, -limit, limit / 1e3, 1e30, np.finfo(dtype).smallest_subnormal, 1e-5]
        with np.errstate(over="ignore"):
            values = np.concatenate([payloads, np.array(values).astype(dtype)])
    else:
        limits = np.iinfo(dtype)
        values = [limits.min, limits.max, limits.max - 1, limits.max // 2 + 1, 0, 1]
        values += [value for value in (2**53 - 1, 2**53, 2**53 + 1) if value <= limits.max]
        values = np.array(values, dtype)
    chosen = rng.random(samples.shape) < 0.01
    samples[chosen] = rng.choice(values, np.count_nonzero(chosen))
    samples[0].flat[: len(values)] = values[: samples[0].size]
    return samples


def generator(*words):
    """Random numbers that depend on nothing else."""
    return np.random.default_rng([*" ".join(map(str, words)).encode()])
