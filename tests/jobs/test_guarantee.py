"""The promise end to end: what any reader gets, compared with the raw array by other code."""

import contextlib
import functools
import math
import re

import numpy as np
import pytest
from onnx import helper

import engine
from engine import Codec
from engine.codec.certificate import read_certificate
from engine.codec.sample_format import SampleFormat
from engine.runtime.packing import pack_networks
from engine.store.ledger import Mode

from ..laws import same_values
from .any_codec import CODECS, any_codec
from .hostile_samples import FLOATS, INTEGERS, SHAPES, draw, generator
from .promises import broken, drifting


@pytest.fixture(scope="session")
def make_any_codec(make_codec, linear_pair, float_network):
    """A codec of one of `CODECS`: `make_any_codec(kind, rng, samples)`."""
    return functools.partial(any_codec, make_codec, linear_pair, float_network)


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


BOUNDS = {
    "max-error 0": {"max_error": 0},
    "max-error below an ulp": {"max_error": 1e-9},
    "max-error 1": {"max_error": 1},
    "max-error 1e9": {"max_error": 1e9},
    "max-error 0.1 %": {"max_error": "0.1%"},
    "lossless": {"lossless": True},
    "min-psnr 45": {"min_psnr": 45},
}


@pytest.mark.parametrize(
    "bound", ["max-error 0", "max-error 1", "max-error 0.1 %", "lossless", "min-psnr 45"]
)
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


@pytest.mark.parametrize("kind", ["smooth", "noise", "constant", "one constant in noise", "fill"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_ordinary_data_keep_their_promises(dtype, kind, make_any_codec, tmp_path):
    rng = generator(dtype, kind)
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    samples = draw(rng, kind, 60, shape, dtype)
    codec = make_any_codec("fitted", rng, samples)
    for asked in (BOUNDS["max-error 0.1 %"], BOUNDS["min-psnr 45"]):
        check(tmp_path, samples, codec, **asked, portable=bool(rng.integers(2)))


@pytest.mark.parametrize("kind", CODECS)
def test_any_codec_keeps_the_promise(kind, make_any_codec, tmp_path):
    rng = generator(kind)
    samples = draw(rng, "smooth", 60, (12, 9), "f4")
    codec = make_any_codec(kind, rng, samples)
    modes = check(tmp_path, samples, codec, max_error=0.5, step=4.0)
    if kind == "uncertified":
        assert not any(mode.needs_network for mode in modes)


def test_networks_that_return_nan_keep_the_promise(float_network, make_codec, tmp_path):
    """An encoder that does for samples below 0, a decoder that does for few latents."""
    roots = [
        helper.make_node("Sqrt", ["x"], ["z"]),
        helper.make_node("Sub", ["z", "hole"], ["apart"]),
        helper.make_node("Mul", ["apart", "apart"], ["square"]),
        helper.make_node("Sub", ["square", "small"], ["shifted"]),
        helper.make_node("Sqrt", ["shifted"], ["y"]),
    ]
    encoder = float_network(roots[:1], ("x", (4,)), ("z", (4,)))
    constants = {"hole": np.float32(0.7), "small": np.float32(1e-9)}
    decoder = float_network(roots[1:], ("z", (4,)), ("y", (4,)), **constants)
    samples = np.random.default_rng(0).random((5000, 4)).astype("f4")
    samples[samples > 0.95] -= 1
    calibration = np.abs(samples)
    calibration[(calibration > 0.4) & (calibration < 0.6)] = 0
    sample = SampleFormat((4,), samples.dtype, (4,), (0.0, 1.0))
    codec = Codec(pack_networks(encoder, decoder, sample, calibration, 16, training={}), "cpu")
    decoded = codec.reconstruct(codec.encode(np.abs(samples)))
    assert np.isnan(decoded).any()
    for asked in ({"max_error": 0.2}, {"min_psnr": 40}, {"lossless": True}):
        check(tmp_path, samples, codec, **asked)


DRIFTS = {"none": 0, "up": 1, "down": -1, "random": 1}


def machine(name, tolerance):
    """A machine that drifts as its name says, by the tolerance."""
    if name == "none":
        return contextlib.nullcontext()
    rng = np.random.default_rng(0) if name == "random" else None
    return drifting(DRIFTS[name] * tolerance, rng)


@pytest.mark.parametrize("asked", [{"max_error": 3}, {"min_psnr": 45}, {"lossless": True}], ids=str)
@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_machines_that_drift_as_far_as_is_accepted_keep_the_promise(
    dtype, asked, make_any_codec, tmp_path
):
    rng = generator("drift", dtype)
    samples = draw(rng, "smooth", 60, (12, 9), dtype)
    codec = make_any_codec("fitted", rng, samples)
    tolerance = read_certificate(codec.files).tolerance
    for writer in DRIFTS:
        store = tmp_path / f"{writer}.zarr"
        with machine(writer, tolerance):
            engine.compress(samples, store, codec, device="cpu", shard_samples=20, **asked)
        for reader in DRIFTS:
            with machine(reader, tolerance), engine.open(store, device="cpu") as opened:
                if asked.get("lossless") and dtype == "u1":
                    assert Mode.RESIDUALS in opened.contents.ledger["mode"]
                assert broken(opened[:], samples, opened.guarantee) == 0


@pytest.mark.parametrize("distance", [2, -2, math.nan])
def test_a_machine_that_drifts_farther_is_refused(distance, make_any_codec, tmp_path):
    rng = generator("refused")
    samples = draw(rng, "smooth", 60, (12, 9), "f4")
    codec = make_any_codec("fitted", rng, samples)
    certificate = read_certificate(codec.files)
    store = tmp_path / "it.zarr"
    engine.compress(samples, store, codec, device="cpu", max_error=3)
    with drifting(distance * certificate.tolerance):
        with pytest.raises(engine.GuaranteeViolated, match="--device cpu") as refused:
            engine.open(store, device="cpu")
        found, accepted = map(
            float, re.findall(r"(?:probes|accepted:) (\S+?)[ )]", str(refused.value))
        )
        assert accepted == pytest.approx(certificate.accepted, rel=1e-2)
        if not math.isnan(distance):
            assert found == pytest.approx(2 * certificate.tolerance, rel=0.2)
        (problem,) = engine.verify(store, device="cpu").problems
        assert problem == str(refused.value)
        with pytest.raises(engine.GuaranteeViolated):
            engine.compress(samples, tmp_path / "other.zarr", codec, device="cpu", max_error=3)
        assert not (tmp_path / "other.zarr").exists()


def test_what_needs_no_network_is_read_on_any_machine(make_any_codec, tmp_path):
    rng = generator("no network")
    samples = draw(rng, "noise", 60, (12, 9), "f4")
    codec = make_any_codec("random", rng, samples)
    store = tmp_path / "it.zarr"
    engine.compress(samples, store, codec, device="cpu", lossless=True)
    with drifting(1e6), engine.open(store, device="cpu") as opened:
        assert same_values(opened[:], samples)


SLOW_SEEDS, SLOW_ELEMENTS = range(56), 1_800_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_no_violation_in_a_hundred_million_elements(seed, make_any_codec, tmp_path):
    rng = np.random.default_rng(seed)
    dtype = np.dtype(str(rng.choice([*INTEGERS, *FLOATS, "u1", "f4", "f4"])))
    shape = tuple(SHAPES[int(rng.integers(len(SHAPES)))]) if seed % 5 else (32, 48)
    count = -(-SLOW_ELEMENTS // math.prod(shape))
    kinds = ["smooth", "smooth", "noise", "one constant in noise", "fill", "strange", "strange"]
    samples = np.concatenate(
        [draw(rng, str(rng.choice(kinds)), count // 3 + 1, shape, dtype) for _ in range(3)]
    )
    codec = make_any_codec(str(rng.choice(["fitted", *CODECS])), rng, samples)
    asked = draw_promise(rng, samples)
    sizes = {} if seed % 3 else {"chunk_samples": 37, "shard_samples": 37 * 41}
    sizes |= {"keep_latents": bool(rng.integers(3)), "step": float(rng.choice([0.5, 1, 1, 4]))}
    certificate = read_certificate(codec.files)
    names = list(DRIFTS) if certificate is not None and sizes["step"] == 1 else ["none"]
    tolerance = 0.0 if certificate is None else certificate.tolerance
    store = tmp_path / "it.zarr"
    writer, reader = (str(rng.choice(names)) for _ in range(2))
    with machine(writer, tolerance):
        engine.compress(samples, store, codec, device="cpu", **asked, **sizes)
    check_again(store, samples, contextlib.nullcontext(), rng)
    check_again(store, samples, machine(reader, tolerance), rng)
    modes = engine.open(store, device="cpu").contents.ledger["mode"]
    print(seed, samples.size, dtype, shape, asked, sizes, writer, reader, set(modes.tolist()))


def draw_promise(rng, samples):
    """One that isn't beyond float64."""
    ordinary = samples[np.isfinite(samples)].astype("f8")
    error = float(np.quantile(ordinary, 0.8) / 2 - np.quantile(ordinary, 0.2) / 2)
    error *= 10.0 ** rng.uniform(-6, 0.5)
    whole = samples.dtype.kind != "f"
    choices = [{"max_error": error}] * 4 + [{"max_error": float(rng.integers(9))}]
    choices += [{"max_error": "0.1%"}, {"lossless": True}]
    if whole or np.abs(ordinary).max() < 1e100:
        choices += [{"min_psnr": float(rng.uniform(10, 100))}] * 2
    return choices[int(rng.integers(len(choices)))]


def check_again(store, samples, reader, rng):
    """Whole, and some samples by themselves, on one machine."""
    with reader, engine.open(store, device="cpu") as opened:
        assert broken(opened[:], samples, opened.guarantee) == 0
        for row in rng.choice(len(samples), min(100, len(samples)), replace=False):
            assert broken(opened[row][np.newaxis], samples[row : row + 1], opened.guarantee) == 0
