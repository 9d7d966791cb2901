"""The promise end to end: what any reader gets, compared with the raw array by other code."""

import contextlib
import math
import re

import numpy as np
import pytest
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

INTEGERS = [f"{kind}{size}" for kind in "ui" for size in (1, 2, 4, 8)]
FLOATS = ["f2", "f4", "f8"]
SHAPES = [(1,), (37,), (12, 9), (6, 8, 3), (1, 8, 8), (3, 4, 5, 6)]
CODECS = ["fitted", "foreign", "random", "garbage", "uncertified"]
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


@pytest.fixture(scope="module")
def mixed(make_any_codec, tmp_path_factory):
    """Samples of which each shard of 10 wants another way, and their store in chunks of 5."""
    rng = generator("mixed")
    samples = draw(rng, "smooth", 73, (12, 9), "f4")
    codec = make_any_codec("fitted", rng, samples)
    made = codec.decode(codec.encode(samples))
    samples[:10] = made[:10]  # the network has them
    samples[10:20] = made[10:20] + rng.normal(0, 0.5, (10, 12, 9))  # but for a little
    checks = np.indices((12, 9)).sum(axis=0) % 2
    samples[20:30] = 270 + 5 * checks  # it knows nothing of
    samples[30:40] = rng.normal(0, 1e30, (10, 12, 9))  # no step reaches
    samples[40:50], samples[43] = made[40:50], 1000 * checks  # an exception
    samples[50:60], samples[50:60, 3, 3] = made[50:60], math.nan  # patches
    store = tmp_path_factory.mktemp("mixed") / "it.zarr"
    sizes = {"chunk_samples": 5, "shard_samples": 10}
    engine.compress(samples, store, codec, device="cpu", max_error=0.25, **sizes)
    return samples, store


def test_each_shard_has_its_own_mode(mixed):
    _, store = mixed
    with engine.open(store, device="cpu") as opened:
        ledger = opened.contents.ledger
    assert ledger["mode"][:4].tolist() == [*Mode]
    assert ledger["exceptions"].tolist()[4] == 1
    assert ledger["patches"].tolist()[4:6] == [12 * 9, 10]


@pytest.mark.parametrize(
    "key",
    [
        slice(None, None, -1),
        slice(7, 61, 9),
        [72, 0, 35, 0, 12, 41, -1, 55, 20, 43],
        np.arange(73) % 7 == 3,
        (slice(5, 45, 10), 3, slice(None, None, -2)),
        -3,
    ],
    ids=str,
)
def test_any_selection_across_modes_is_what_was_promised(mixed, key):
    samples, store = mixed
    with engine.open(store, device="cpu") as opened:
        found, expected = opened[key], samples[key]
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert broken(found, expected, opened.guarantee) == 0
        if isinstance(key, slice):
            np.testing.assert_array_equal(found[np.isnan(expected)], math.nan)


def test_threads_and_batches_do_not_break_it(mixed):
    samples, store = mixed
    with engine.open(store, device="cpu") as opened:
        for threads in (1, 2, 3):
            codec = Codec(opened.contents.codec_files, "cpu", threads)
            read = Reconstruction(opened.contents, codec, opened.step)
            for size in (1, 7, 73):
                for start in range(0, 73, size):
                    rows = np.arange(start, min(start + size, 73))
                    assert broken(read(rows), samples[rows], opened.guarantee) == 0


def test_every_shard_keeps_the_smallest_of_the_ways(mixed):
    """All of them made by other code, as far as they hold the bound without a patch."""
    samples, store = mixed
    with engine.open(store, device="cpu") as opened:
        contents, codec = opened.contents, opened.codec
        room = read_certificate(codec.files).room
        arrays, names = contents.arrays, contents.part.arrays
        for shard, record in enumerate(contents.ledger):
            rows = samples[10 * shard : 10 * shard + 10]
            latents = codec.encode(np.where(np.isfinite(rows), rows, 270).astype("f4"))
            y = codec.reconstruct(latents).astype("f8")
            tried = [{"verbatim": rows}]
            for name, base, half in (
                ("quantised", np.nanmedian(rows), 0.25),
                ("residuals", y, 0.25 - room),
            ):
                step = 2 * half * (1 - 2.0**-11)
                with np.errstate(invalid="ignore"):
                    k = np.rint((rows - base) / step)
                if name in arrays and np.abs(k).max() < np.iinfo(arrays[name].dtype).max:
                    tried.append({name: k.astype(arrays[name].dtype)} if k.any() else {})
            # Latents are kept wherever they are, and quality whatever the way.
            sizes = [
                sum(len(arrays[name].encode_shard(values).content) for name, values in made.items())
                for made in tried
            ]
            kept = [n for n, name in enumerate(names) if name not in ("latents", "quality")]
            assert sum(int(record[f"size_bytes_{n}"]) for n in kept) <= min(sizes) * 1.005 + 8


def test_without_a_promise_strange_values_are_kept_on_demand(make_any_codec, tmp_path):
    rng = generator("keep")
    for dtype in ("f4", "i2"):
        samples = draw(rng, "fill" if dtype == "i2" else "strange", 50, (12, 9), dtype)
        codec = make_any_codec("fitted", rng, samples)
        fill = int(samples.min()) if dtype == "i2" else None
        for keep_latents in (True, False):
            store = tmp_path / f"{dtype}-{keep_latents}.zarr"
            asked = {"nonfinite": "keep", "fill_value": fill, "keep_latents": keep_latents}
            engine.compress(samples, store, codec, device="cpu", shard_samples=20, **asked)
            kept = ~np.isfinite(samples) if fill is None else samples == fill
            with engine.open(store, device="cpu") as opened:
                assert same_values(opened[:][kept], samples[kept])
                assert opened.guarantee.kind == "none"
            assert engine.verify(store, against=samples, device="cpu").problems == ()


def test_what_is_not_finite_is_refused_on_demand(make_any_codec, tmp_path):
    rng = generator("refuse")
    samples = draw(rng, "smooth", 50, (12, 9), "f4")
    samples[33, 4, 5] = math.nan
    codec = make_any_codec("fitted", rng, samples)
    with pytest.raises(engine.InvalidInput, match=r"\(33, 4, 5\)"):
        engine.compress(
            samples, tmp_path / "it", codec, device="cpu", max_error=1, nonfinite="error"
        )
    assert not (tmp_path / "it").exists()


class Stop(Exception):
    """What ends a job between two shards."""


@pytest.mark.parametrize("keep_latents", [True, False])
def test_a_job_that_was_stopped_between_shards_goes_on(keep_latents, make_any_codec, tmp_path):
    rng = generator("resume")
    samples = draw(rng, "strange", 100, (12, 9), "f4")
    codec = make_any_codec("fitted", rng, samples)
    asked = {"max_error": 0.3, "keep_latents": keep_latents, "chunk_samples": 5, "device": "cpu"}
    asked |= {"shard_samples": 10, "batch": 5, "threads": 1}

    def stop(done, _):
        if done == 45:
            raise Stop

    with pytest.raises(Stop):
        engine.compress(samples, tmp_path / "it", codec, progress=stop, **asked)
    report = engine.compress(samples, tmp_path / "it", codec, **asked)
    assert 0 < report.samples_written < len(samples)
    engine.compress(samples, tmp_path / "whole", codec, **asked | {"threads": 2})
    assert_same_tree(tmp_path / "it", tmp_path / "whole")


BREAKS = {  # what goes wrong in the writer: what to patch with what
    "bound": ({"max_error": 0.5}, rules, "round_down", lambda value, _: 8 * value),
    "lossless": ({"lossless": True}, rules, "round_down", lambda *_: 1.0),
    "psnr": (
        {"min_psnr": 50},
        Guarantee,
        "mean_squared_error_bound",
        property(lambda guarantee: guarantee.peak**2 * 1e-4),
    ),
    "mask": ({"max_error": 0.5, "fill_value": 285.3}, survey.Survey, "verbatim", lambda *_: None),
}


@pytest.mark.parametrize("what", BREAKS)
def test_verify_names_the_shards_that_break_the_promise(
    what, make_any_codec, monkeypatch, tmp_path
):
    rng = generator("broken")
    asked, *patch = BREAKS[what]
    dtype = "u1" if what == "lossless" else "f4"
    samples = draw(rng, "smooth", 50, (12, 9), dtype)
    if what == "mask":
        samples[:, :, 3] = 285.3
    samples[20:30] = samples[20, 0, 0]  # kept exactly, however large the bound
    codec = make_any_codec("fitted", rng, samples)
    store = tmp_path / "it.zarr"
    with monkeypatch.context() as patched:
        patched.setattr(*patch)
        engine.compress(samples, store, codec, device="cpu", shard_samples=10, **asked)
    verification = engine.verify(store, against=samples, device="cpu")
    assert not verification.ok
    assert all(
        re.search("break the guarantee|other samples than", p) for p in verification.problems
    )
    with contextlib.suppress(engine.GuaranteeViolated), engine.open(store, device="cpu") as opened:
        assert broken(opened[:], samples, opened.guarantee) > 0


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
