"""Shards that keep a promise in different ways: read across them, resumed, and told when broken."""

import contextlib
import math
import re

import numpy as np
import pytest
from numcodecs import zstd
from pcodec import ChunkConfig, standalone

import engine
from engine import Codec
from engine.codec.certificate import read_certificate
from engine.guarantee import Guarantee
from engine.jobs import rules, survey
from engine.jobs.certificate import certificate_at
from engine.reading.reader import Reader
from engine.runtime.layout_trials import Layout
from engine.store.ledger import Mode

from ..laws import assert_same_tree, same_values
from .hostile_samples import draw, generator, of_dtype, smooth
from .promises import broken, decoding_otherwise
from .test_memory import ALLOWED, peak_memory, write


def fitted(make_codec, rng, samples):
    """A codec that knows something of smooth samples of this shape and dtype."""
    return make_codec(of_dtype(smooth(rng, (60, *samples.shape[1:])), samples.dtype), 4)


@pytest.fixture(scope="module")
def mixed(make_codec, tmp_path_factory):
    """Samples of which each shard of 10 wants another way, and their store in chunks of 5."""
    rng = generator("mixed")
    samples = draw(rng, "smooth", 73, (12, 9), "f4")
    codec = fitted(make_codec, rng, samples)
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
            codec = Codec(opened.contents.codec_files, "cpu")
            read = Reader(opened.contents, codec, 0, Layout(16, threads, threads)).some
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


def test_without_a_promise_strange_values_are_kept_on_demand(make_codec, tmp_path):
    rng = generator("keep")
    for dtype in ("f4", "i2"):
        samples = draw(rng, "fill" if dtype == "i2" else "strange", 50, (12, 9), dtype)
        codec = fitted(make_codec, rng, samples)
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


def test_what_is_not_finite_is_refused_on_demand(make_codec, tmp_path):
    rng = generator("refuse")
    samples = draw(rng, "smooth", 50, (12, 9), "f4")
    samples[33, 4, 5] = math.nan
    codec = fitted(make_codec, rng, samples)
    with pytest.raises(engine.InvalidInput, match=r"\(33, 4, 5\)"):
        engine.compress(
            samples, tmp_path / "it", codec, device="cpu", max_error=1, nonfinite="error"
        )
    assert not (tmp_path / "it").exists()


class Stop(Exception):
    """What ends a job between two shards."""


@pytest.mark.parametrize("keep_latents", [True, False])
def test_a_job_that_was_stopped_between_shards_goes_on(keep_latents, make_codec, tmp_path):
    rng = generator("resume")
    samples = draw(rng, "strange", 100, (12, 9), "f4")
    codec = fitted(make_codec, rng, samples)
    asked = {"max_error": 0.3, "keep_latents": keep_latents, "chunk_samples": 5, "device": "cpu"}
    asked |= {"shard_samples": 10, "batch": 5, "threads": 1}

    def stop(done, _):
        if done == 50:
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
def test_verify_names_the_shards_that_break_the_promise(what, make_codec, monkeypatch, tmp_path):
    rng = generator("broken")
    asked, *patch = BREAKS[what]
    dtype = "u1" if what == "lossless" else "f4"
    samples = draw(rng, "smooth", 50, (12, 9), dtype)
    if what == "mask":
        samples[:, :, 3] = 285.3
    samples[20:30] = samples[20, 0, 0]  # kept exactly, however large the bound
    codec = fitted(make_codec, rng, samples)
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


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data(make_codec, tmp_path):
    rng = generator("memory")
    samples = draw(rng, "smooth", 2000, (32, 32), "f4")
    fitted(make_codec, rng, samples).save(tmp_path / "a.codec")
    peaks = []
    for megabytes in (100, 1000):  # with less, not all that a worker keeps is filled yet
        data, store = tmp_path / f"{megabytes}.npy", tmp_path / f"{megabytes}.zarr"
        write(data, samples, megabytes * 10**6)
        asked = {"codec": tmp_path / "a.codec", "max_error": 0.01}
        peaks.append(peak_memory("compress", data=data, store=store, **asked))
    assert peaks[1] <= ALLOWED * peaks[0], peaks


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
def test_lossless_noise_costs_at_most_a_hundredth_more_than_plain_chunks(
    dtype, make_codec, tmp_path
):
    rng = generator("noise", dtype)
    samples = draw(rng, "noise", 4000, (32, 32), dtype)
    if dtype == "u1":
        samples = rng.integers(0, 256, samples.shape, "u1")
    codec, store = fitted(make_codec, rng, samples), tmp_path / "it.zarr"
    engine.compress(samples, store, codec, device="cpu", lossless=True, keep_latents=False)
    with engine.open(store, device="cpu") as opened:
        size = opened.contents.part.chunk_samples
    chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
    plain = [sum(len(zstd.compress(chunk, level)) for chunk in chunks) for level in (1, 2, 3)]
    config = ChunkConfig(enable_8_bit=True)
    plain.append(sum(len(standalone.simple_compress(c.reshape(-1), config)) for c in chunks))
    found = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    assert found <= 1.01 * min(plain)


def lost_beyond(certificate):
    """A machine that decodes as its certificate says, and anything from all other latents."""

    def lose(latents, output):
        output[~certificate.covers(latents)] *= -17
        return output

    return decoding_otherwise(lose)


@pytest.mark.parametrize("asked", [{"max_error": 3}, {"min_psnr": 40}], ids=str)
def test_samples_beyond_the_certificate_are_exceptions(asked, make_codec, tmp_path):
    """So the promise doesn't rest on latents of which no probe says how they decode."""
    rng = generator("beyond")
    samples = draw(rng, "smooth", 90, (12, 9), "f4")
    codec = make_codec(samples, 4, bits=16)
    samples = codec.decode(codec.encode(samples)) + rng.normal(0, 0.5, samples.shape).astype("f4")
    certificate = certificate_at(codec, 100.0)
    wild = samples.mean(axis=0) + 9 * (samples[:2] - samples.mean(axis=0))
    mixed = np.concatenate([samples, wild])
    uncovered = ~certificate.covers(codec.encode(mixed, 100.0))
    assert uncovered[:90].sum() == 0 < uncovered.sum()
    store = tmp_path / "it.zarr"
    engine.compress(mixed, store, codec, device="cpu", shard_samples=92, step=100.0, **asked)
    with lost_beyond(certificate), engine.open(store, device="cpu") as opened:
        assert opened.contents.ledger["mode"][0] in (Mode.LATENTS, Mode.RESIDUALS)
        assert opened.contents.ledger["exceptions"][0] >= uncovered.sum()
        assert broken(opened[:], mixed, opened.guarantee) == 0
