"""The choice of a coding for latents: measured, with the tables counted."""

import numpy as np
import pytest
from click.testing import CliRunner

import engine
from engine.cli import main
from engine.entropy import entropy_bits
from engine.jobs import codings
from engine.jobs.choose_latent_coding import choose_latent_coding
from engine.store.coding import RANS, Coding
from engine.store.contents import StoreContents
from engine.store.latent_cost import latent_cost
from engine.store.plan import LATENTS

from ..laws import flip_bit, tree


def latents(scales, shape, seed=0):
    """Four chunks of 256 samples: channels of these standard deviations, repeated to `shape`."""
    rng = np.random.default_rng(seed)
    values = rng.laplace(size=(4, 256, *shape)) * np.reshape(scales, (-1, *[1] * (len(shape) - 1)))
    return list(np.clip(np.rint(values), -127, 127).astype(np.int8))


def test_low_entropy_channels_have_a_table_each():
    coding = choose_latent_coding(latents(np.geomspace(0.1, 1, 32), (32,)), samples=100_000)
    assert coding.coder == RANS
    assert len(coding.tables.tables) == 32


def test_positions_of_a_channel_share_a_table():
    coding = choose_latent_coding(latents([0.1, 0.3, 1, 2], (4, 8, 8)), samples=10_000)
    assert coding.coder == RANS
    assert len(coding.tables.tables) == 4


def test_tables_must_pay_for_themselves():
    assert choose_latent_coding(latents(np.geomspace(0.1, 1, 32), (32,)), samples=64) == Coding()


def test_what_zstd_finds_stays_with_zstd():
    """Samples that repeat: no count of values knows of that."""
    row = np.random.default_rng(0).integers(-100, 100, 64).astype(np.int8)
    chunks = [np.roll(np.tile(row, (256, 1)), k, axis=1) for k in range(4)]
    assert choose_latent_coding(chunks, samples=100_000) == Coding()


def test_one_chunk_is_enough_to_choose():
    (chunk, *_) = latents(np.geomspace(0.1, 1, 32), (32,))
    assert choose_latent_coding([chunk], samples=100_000).coder == RANS


@pytest.fixture(scope="module")
def sparse_data():
    """Samples of which most latents are 0."""
    rng = np.random.default_rng(0)
    present = rng.random((3000, 24)) < 0.03
    return (present * rng.normal(size=present.shape)).astype(np.float32)


@pytest.mark.parametrize("portable", [False, True])
def test_a_guaranteed_store_of_sparse_latents(portable, sparse_data, make_codec, tmp_path):
    codec = make_codec(sparse_data, 24)
    options = {"max_error": 0.5, "portable": portable, "step": 40.0}
    engine.compress(sparse_data, tmp_path / "s.zarr", codec, **options)
    contents = StoreContents(tmp_path / "s.zarr")
    assert (contents.arrays[LATENTS].coded.coding.coder == RANS) != portable
    assert contents.head.portable == portable
    restored = np.asarray(engine.open(tmp_path / "s.zarr"))
    assert np.abs(restored - sparse_data).max() <= 0.5
    assert engine.verify(tmp_path / "s.zarr").ok


@pytest.mark.parametrize("portable", [False, True])
def test_a_store_without_a_guarantee(portable, sparse_data, make_codec, tmp_path):
    codec = make_codec(sparse_data, 24)
    options = {"portable": portable, "step": 40.0, "shard_samples": 1024}
    engine.compress(sparse_data, tmp_path / "s.zarr", codec, **options)
    contents = StoreContents(tmp_path / "s.zarr")
    assert (contents.arrays[LATENTS].coded.coding.coder == RANS) != portable
    assert contents.head.portable == portable
    latents = codec.encode(sparse_data, 40.0)
    with engine.open(tmp_path / "s.zarr") as store:
        np.testing.assert_array_equal(store.latents[:], latents)
        np.testing.assert_array_equal(store[:], codec.decode(latents, 40.0))
    assert engine.verify(tmp_path / "s.zarr", against=sparse_data).ok


def test_a_classic_codec_stays_portable(digits, digits_codec, tmp_path):
    engine.compress(digits, tmp_path / "s.zarr", digits_codec)
    assert StoreContents(tmp_path / "s.zarr").head.portable


def test_equal_jobs_write_equal_tables(sparse_data, make_codec, tmp_path):
    codec = make_codec(sparse_data, 24)
    for name, threads, batch in (("one", 1, 64), ("other", 2, 100)):
        options = {"step": 40.0, "threads": threads, "batch": batch}
        engine.compress(sparse_data, tmp_path / name, codec, **options)
    assert StoreContents(tmp_path / "one").arrays[LATENTS].coded.coding.coder == RANS
    assert tree(tmp_path / "one") == tree(tmp_path / "other")


def test_a_resumed_job_keeps_what_was_chosen(sparse_data, make_codec, tmp_path, monkeypatch):
    codec, store = make_codec(sparse_data, 24), tmp_path / "s.zarr"
    options = {"step": 40.0, "shard_samples": 512, "threads": 1}

    def interrupt(done, _):
        if done >= 1024:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.compress(sparse_data, store, codec, progress=interrupt, **options)
    chosen = StoreContents(store, incomplete=True).arrays[LATENTS].coded
    monkeypatch.setattr(codings, "choose_latent_coding", lambda *_: pytest.fail("chosen again"))
    engine.compress(sparse_data, store, codec, **options)
    assert StoreContents(store).arrays[LATENTS].coded == chosen
    assert engine.verify(store, against=sparse_data).ok


def test_few_chunks_are_encoded_to_choose(sparse_data, make_codec, tmp_path, monkeypatch):
    """Four, or as many as are a sixteenth of the data."""
    counts = []
    monkeypatch.setattr(
        codings,
        "choose_latent_coding",
        lambda chunks, samples: counts.append((len(chunks), samples)) or Coding(),
    )
    many = np.tile(sparse_data, (4, 1))
    codec = make_codec(sparse_data, 24)
    for data, chunk_samples in ((sparse_data, 64), (sparse_data[:50], 64), (many, 16)):
        options = {"chunk_samples": chunk_samples, "overwrite": True}
        engine.compress(data, tmp_path / "s.zarr", codec, **options)
    assert counts == [(4, 3000), (1, 50), (46, 12_000)]


def test_info_shows_the_choice_beside_the_entropy(sparse_data, make_codec, tmp_path):
    codec = make_codec(sparse_data, 24)
    engine.compress(sparse_data, tmp_path / "s.zarr", codec, step=40.0)
    cost = latent_cost(StoreContents(tmp_path / "s.zarr"))
    assert cost.coded.startswith("rans by ")
    latents = codec.encode(sparse_data, 40.0)
    assert cost.entropy_bytes_per_sample == pytest.approx(entropy_bits(latents).sum() / 8, rel=0.02)
    size = StoreContents(tmp_path / "s.zarr").stored_bytes(LATENTS)
    assert cost.bytes_per_sample == size / len(sparse_data)
    shown = CliRunner().invoke(main, ["info", str(tmp_path / "s.zarr")]).output
    assert f"coded {cost.coded}, bytes_per_sample {cost.bytes_per_sample:.4g}" in shown
    flip_bit(tmp_path / "s.zarr/data/part-0/latents/c/0/0", 1000)
    assert np.isnan(latent_cost(StoreContents(tmp_path / "s.zarr")).entropy_bytes_per_sample)


def test_damaged_latents_are_noticed_and_repaired(sparse_data, make_codec, tmp_path):
    store = tmp_path / "s.zarr"
    codec = make_codec(sparse_data, 24)
    engine.compress(sparse_data, store, codec, max_error=0.5, step=40.0)
    assert StoreContents(store).arrays[LATENTS].coded.coding.coder == RANS
    before = tree(store)
    flip_bit(store / "data/part-0/latents/c/0/0", 1000)
    assert not engine.verify(store).ok
    engine.repair(store, sparse_data, codec=codec)
    assert tree(store) == before
