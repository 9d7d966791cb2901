"""What is measured on a few chunks decides for the whole store, networks included."""

import numpy as np
import pytest

import engine
from engine.geometry import RowGrid
from engine.jobs import compression_job
from engine.jobs.codings import choose_codings, tried_chunks
from engine.store.coding import CONTEXT, RANS
from engine.store.plan import LATENTS, QUANTISED, RESIDUALS

from ..laws import tree

CHUNK_SAMPLES = 32
MANY, FEW = 3200, 96


def mixtures(count, seed=1):
    """Float32 samples `(count, 8, 8)` of three patterns that no neighbour tells of."""
    patterns = np.random.default_rng(0).normal(size=(3, 64))
    rng = np.random.default_rng(seed)
    samples = rng.laplace(size=(count, 3)) @ patterns + rng.normal(0, 0.1, (count, 64))
    return samples.reshape(-1, 8, 8).astype("f4")


@pytest.fixture(scope="module")
def codec(make_codec):
    return make_codec(mixtures(500, seed=2), 3)


@pytest.fixture
def plans(monkeypatch):
    """The plan of each store that is written."""
    chosen = []

    def noted(*arguments):
        chosen.append(choose_codings(*arguments))
        return chosen[-1]

    monkeypatch.setattr(compression_job, "choose_codings", noted)
    return chosen


def compress(samples, path, codec, **options):
    options = {"max_error": 0.3, "keep_latents": False, "keep_encoder": False} | options
    return engine.compress(
        samples, path, codec, device="cpu", chunk_samples=CHUNK_SAMPLES, **options
    )


def test_a_network_is_used_where_it_pays(codec, plans, tmp_path):
    samples = mixtures(MANY)
    report = compress(samples, tmp_path / "with.zarr", codec)
    (plan,) = plans
    assert plan.uses_network
    assert plan.coded[LATENTS].coding.coder == RANS
    assert {mode for mode, shards in report.modes.items() if shards} <= {"latents", "residuals"}
    alone = compress(samples, tmp_path / "alone.zarr", codec, max_error=0.3, step=1000.0)
    assert report.stored_bytes < 0.8 * alone.stored_bytes
    assert np.abs(engine.open(tmp_path / "with.zarr", "cpu")[:] - samples).max() <= 0.3


def test_networks_count_as_what_they_take_in_the_store(codec, plans, tmp_path):
    for step in (1.0, 0.5):  # the certificate for another step is the store's own
        path = tmp_path / f"{step}.zarr"
        compress(mixtures(MANY), path, codec, step=step)
        plan = plans[-1]
        folders = [*(path / "codecs" / codec.digest).iterdir(), path / "data" / "certificate"]
        files = [
            file
            for folder in folders
            if folder.is_dir() and folder.name != "manifest.json"
            for file in folder.rglob("*")
            if file.is_file()
        ]
        assert plan.network_bytes == sum(file.stat().st_size for file in files)


def test_a_few_samples_do_without(codec, plans, tmp_path):
    report = compress(mixtures(FEW), tmp_path / "few.zarr", codec)
    assert not plans[0].uses_network
    assert LATENTS not in plans[0].coded  # no tables that nothing is read by
    assert report.modes["quantised"] > 0


def test_without_networks_arrays_are_coded_as_well_as_can_be(make_codec, plans, tmp_path):
    """Where the network keeps each chunk smaller, but doesn't pay for itself."""
    x = np.linspace(0, 9, 256)
    rng = np.random.default_rng(0)
    phases, heights = rng.uniform(0, 6, (2, 400, 1, 1))
    samples = np.sin(x.reshape(16, 16) + phases) * heights + rng.normal(0, 0.05, (400, 16, 16))
    samples = samples.astype("f4")
    codec = make_codec(samples, 2, 16)
    compress(samples, tmp_path / "waves.zarr", codec, max_error=0.1)
    (plan,) = plans
    assert not plan.uses_network
    assert plan.coded[QUANTISED].coding.coder == CONTEXT
    compress(samples, tmp_path / "kept.zarr", codec, max_error=0.1, keep_latents=True)
    assert plans[1].coded[RESIDUALS].coding.coder == CONTEXT


def test_equal_jobs_choose_alike_and_a_resumed_one_keeps_the_choice(codec, plans, tmp_path):
    for name in ("one.zarr", "other.zarr"):
        compress(mixtures(MANY), tmp_path / name, codec)
    assert plans[0] == plans[1]
    before = tree(tmp_path / "one.zarr")
    assert before == tree(tmp_path / "other.zarr")
    compress(mixtures(MANY), tmp_path / "one.zarr", codec)
    assert len(plans) == 2
    assert tree(tmp_path / "one.zarr") == before


@pytest.mark.parametrize("chunks", [1, 2, 3, 5, 160, 5000])
def test_tried_chunks_are_distinct_and_from_all_of_the_data(chunks):
    grid = RowGrid(chunks * CHUNK_SAMPLES + 7, CHUNK_SAMPLES, CHUNK_SAMPLES)
    starts, stops = zip(*tried_chunks(grid), strict=True)
    assert all(np.diff(starts) > 0)
    assert set(np.subtract(stops, starts)) == {CHUNK_SAMPLES}
    assert min(4, chunks) <= len(starts) <= max(4, chunks / 16)
    bounds = np.arange(len(starts) + 1) * chunks // len(starts) * CHUNK_SAMPLES
    assert (np.searchsorted(bounds, starts, "right") - 1).tolist() == [*range(len(starts))]


def test_tried_chunks_do_not_meet_a_period_at_one_phase():
    """As tiles that are laid out alike in every field have."""
    grid = RowGrid(64 * CHUNK_SAMPLES, CHUNK_SAMPLES, CHUNK_SAMPLES)
    chunks = [start // CHUNK_SAMPLES for start, _ in tried_chunks(grid)]
    assert len(chunks) == 4
    assert len({chunk % 21 for chunk in chunks}) == 4  # 0, 21, 42 and 63 would be even
