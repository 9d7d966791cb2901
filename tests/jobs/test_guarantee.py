"""The promise end to end: what any reader gets, compared with the raw array by other code."""

import contextlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numcodecs import zstd
from onnx import helper

import engine
from engine import Codec
from engine.codec.certificate import read_certificate
from engine.codec.sample_format import SampleFormat
from engine.guarantee import Guarantee
from engine.jobs import rules, survey
from engine.reading.reconstruction import Reconstruction
from engine.runtime.packing import pack_networks
from engine.store.ledger import Mode

from ..laws import assert_same_tree, same_values
from .promises import broken, drifting
from .test_memory import write

INTEGERS = [f"{kind}{size}" for kind in "ui" for size in (1, 2, 4, 8)]
FLOATS = ["f2", "f4", "f8"]
SHAPES = [(1,), (37,), (12, 9), (6, 8, 3), (1, 8, 8), (3, 4, 5, 6)]
CODECS = ["fitted", "foreign", "random", "garbage", "uncertified", "without certificate"]
LIMITS = {"f2": 6e4, "f4": 3e38, "f8": 1e300}


def smooth(rng, shape, low=0.0, high=1.0):
    """Fields that principal components know something of."""
    axes = [np.linspace(0, 1, size) for size in shape[1:]]
    waves = rng.uniform(-3, 3, (shape[0], 4, len(axes)))
    phases = rng.uniform(0, 6, (shape[0], 4, *[1] * len(axes)))
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    values = np.sin(np.tensordot(waves, grid, 1) + phases).mean(axis=1)
    return low + (high - low) * (values + 1) / 2


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


@pytest.fixture(scope="session")
def make_any_codec(make_codec, linear_pair, float_network):
    """A codec of one of `CODECS` for samples like these: `make_any_codec(kind, rng, samples)`."""

    def make(kind, rng, samples):
        shape, dtype = samples.shape[1:], samples.dtype
        usual = of_dtype(smooth(rng, (60, *shape)), dtype)
        latent_dim = int(rng.integers(1, 9))
        bits = int(rng.choice([8, 16]))
        if kind == "fitted":
            return make_codec(usual, latent_dim, bits)
        if kind == "foreign":  # latents saturate
            middle = usual.mean(dtype="f8")
            return make_codec((middle + (usual - middle) / 50).astype(dtype), latent_dim, bits)
        data_range = (float(usual.min()), float(usual.max()))
        sample = SampleFormat(shape, dtype, shape, data_range)
        encoder, decoder = linear_pair(shape, latent_dim, int(rng.integers(1 << 30)))
        if kind in ("garbage", "uncertified"):
            decoder = nonlinear(float_network, rng, latent_dim, shape, floored=kind != "garbage")
        files = pack_networks(encoder, decoder, sample, usual, bits, training={})
        assert (read_certificate(files) is None) == (kind == "uncertified")
        return Codec(files, "cpu")

    return make


def nonlinear(float_network, rng, latent_dim, shape, *, floored):
    """A decoder that returns waves, or steps, that have nothing to do with its samples."""
    elements = math.prod(shape)
    nodes = [
        helper.make_node("MatMul", ["z", "weights"], ["product"]),
        helper.make_node("Floor" if floored else "Sin", ["product"], ["waves"]),
        helper.make_node("Reshape", ["waves", "shape"], ["y"]),
    ]
    weights = rng.normal(0, 1, (latent_dim, elements)).astype("f4")
    constants = {"weights": weights, "shape": np.array([-1, *shape])}
    return float_network(nodes, ("z", (latent_dim,)), ("y", shape), **constants)


def check(folder, samples, codec, **asked):
    """Compress, read in several ways, and have both this file and `verify` look at the promise."""
    store = folder / "checked.zarr"
    engine.compress(samples, store, codec, device="cpu", overwrite=True, **asked)
    with engine.open(store, device="cpu") as opened:
        guarantee = opened.guarantee
        check_terms(guarantee, samples, asked)
        assert broken(opened[:], samples, guarantee) == 0
        rng = np.random.default_rng(0)
        for row in rng.choice(len(samples), 5):  # one at a time
            assert broken(opened[row][np.newaxis], samples[row : row + 1], guarantee) == 0
        order = rng.permutation(len(samples))
        assert broken(opened[order], samples[order], guarantee) == 0
        modes = {Mode(int(mode)) for mode in opened.contents.ledger["mode"]}
    verification = engine.verify(store, against=samples, device="cpu")
    assert verification.problems == ()
    assert verification.samples_compared == len(samples)
    return modes


def check_terms(guarantee, samples, asked):
    """What is recorded is what was asked for, in absolute numbers of these samples."""
    ordinary = samples[np.isfinite(samples)]
    for value in guarantee.fill_values:
        ordinary = ordinary[ordinary != value]
    span = float(ordinary.max()) - float(ordinary.min()) if ordinary.size else 0.0
    bound = asked.get("max_error")
    if isinstance(bound, str):
        bound = float(bound.removesuffix("%")) / 100 * span
    assert guarantee.max_error == (None if bound is None else pytest.approx(bound, rel=1e-12))
    assert guarantee.min_psnr == asked.get("min_psnr")
    if guarantee.kind == "min-psnr":
        peak = {"uint8": 255, "uint16": 65535}.get(samples.dtype.name, span)
        assert guarantee.peak == pytest.approx(peak, rel=1e-12)
    assert (guarantee.kind == "lossless") == asked.get("lossless", False)


def generator(*words):
    return np.random.default_rng([*" ".join(map(str, words)).encode()])


BOUNDS = {
    "max-error 0": {"max_error": 0},
    "max-error below an ulp": {"max_error": 1e-9},
    "max-error 1": {"max_error": 1},
    "max-error 1e9": {"max_error": 1e9},
    "max-error 0.1 %": {"max_error": "0.1%"},
    "lossless": {"lossless": True},
    "min-psnr 45": {"min_psnr": 45},
}


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
def test_strange_values_keep_every_promise(dtype, bound, make_any_codec, tmp_path):
    rng = generator(dtype, bound)
    asked = BOUNDS[bound]
    samples = draw(rng, "strange", 40, (6, 8), dtype)
    if bound == "min-psnr 45" and dtype == "f8":
        samples[np.abs(samples) > 1e100] = 0  # squares of these are beyond float64
    codec = make_any_codec(str(rng.choice(CODECS[:4])), rng, samples)
    sizes = {"chunk_samples": 3, "shard_samples": 12}
    check(tmp_path, samples, codec, **asked, **sizes, keep_latents=bool(rng.integers(2)))
