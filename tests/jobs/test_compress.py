"""Bulk compression: what lands in the store, and whether the report tells the truth about it."""

import threading

import numpy as np
import pytest
from onnx import helper

import engine
from engine.codec.sample_format import SampleFormat
from engine.errors import IncompatibleStore
from engine.runtime.packing import pack_networks
from engine.store.contents import StoreContents
from engine.store.ledger import Mode

from ..laws import assert_same_tree, tree
from ..sources.writers import KINDS

SIZES = {"chunk_samples": 8, "shard_samples": 16}


@pytest.fixture(scope="module")
def few(digits):
    """A hundred digits of all kinds: six shards of 16 and a short one."""
    return digits[::50]


@pytest.fixture(scope="module")
def codec(few, make_codec):
    return make_codec(few, 8)


@pytest.fixture(scope="module")
def few_store(few, codec, tmp_path_factory):
    path = tmp_path_factory.mktemp("few") / "few.zarr"
    engine.compress(few, path, codec, **SIZES)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_source_gives_the_same_store(kind, few, codec, few_store, tmp_path):
    engine.compress(KINDS[kind](tmp_path, few), tmp_path / "store.zarr", codec, **SIZES)
    assert_same_tree(tmp_path / "store.zarr", few_store)


def test_what_a_reader_decodes_is_what_the_codec_makes(few, codec, few_store):
    with engine.open(few_store, device="cpu") as store:
        latents = codec.encode(few)
        np.testing.assert_array_equal(store.latents[:], latents)
        np.testing.assert_array_equal(np.asarray(store), codec.decode(latents))
        np.testing.assert_array_equal(store.read_latents(), codec.features(few))


@pytest.mark.parametrize("samples", [1, 2, 7, 8, 9, 16, 17, 100])
def test_any_number_of_samples(samples, few, codec, tmp_path):
    report = engine.compress(few[:samples], tmp_path / "store.zarr", codec, batch=5, **SIZES)
    assert report.samples == report.samples_written == samples
    store = engine.open(tmp_path / "store.zarr", device="cpu")
    np.testing.assert_array_equal(np.asarray(store), codec.decode(codec.encode(few[:samples])))
    assert len(store.quality["mse"]) == samples
    assert engine.verify(tmp_path / "store.zarr", against=few[:samples], device="cpu").ok


@pytest.mark.parametrize(
    "data",
    [
        np.random.default_rng(0).normal(size=(70, 12)).astype(np.float32),
        np.random.default_rng(1).normal(size=(70, 5, 4)).astype(np.float64) * 1e-8,
        np.random.default_rng(2).integers(-30000, 30000, (70, 3, 4, 2)).astype(np.int16),
        np.random.default_rng(3).integers(0, 65536, (70, 8)).astype(np.uint16),
        np.random.default_rng(4).normal(size=(70, 6)).astype(np.float16),
        np.random.default_rng(5).integers(-(2**40), 2**40, (70, 6)),
    ],
    ids=lambda data: f"{data.dtype}{data.shape[1:]}",
)
@pytest.mark.parametrize("bits", [8, 16])
def test_every_dtype_and_rank(data, bits, make_codec, tmp_path):
    codec = make_codec(data, 4, bits)
    report = engine.compress(data, tmp_path / "store.zarr", codec, **SIZES)
    check_report(report, data, tmp_path / "store.zarr")
    assert engine.verify(tmp_path / "store.zarr", against=data, device="cpu").ok


def check_report(report, data, path):
    """Compare every number with what NumPy makes of the decoded store and of the files."""
    store = engine.open(path, device="cpu")
    errors = np.asarray(store).astype(np.float64) - data.astype(np.float64)
    squared = (errors**2).reshape(len(data), -1).mean(axis=1)
    worst = np.abs(errors).reshape(len(data), -1).max(axis=1)
    full = np.iinfo(data.dtype).max if data.dtype in (np.uint8, np.uint16) else None
    peak = float(full or float(data.max()) - float(data.min()))
    latents = store.latents[:].astype(int)
    limit = np.iinfo(store.latents.dtype).max
    approximately = pytest.approx(10 * np.log10(peak**2 / squared.mean()), abs=1e-9)
    assert report.psnr_db == approximately
    assert report.worst_psnr_db == pytest.approx(10 * np.log10(peak**2 / squared.max()), abs=1e-9)
    assert report.max_abs_error == worst.max()
    assert report.raw_bytes == data.nbytes
    assert report.stored_bytes == sum(map(len, filter(None, tree(path).values())))
    assert report.ratio == report.raw_bytes / report.stored_bytes
    assert report.saturated_fraction == (np.abs(latents) == limit).mean()
    assert (report.data_min, report.data_max) == (data.min(), data.max())
    for name, truth in (("max_abs_error", worst), ("mse", squared)):
        check_upper_bound(store.quality[name], truth, 2 ** (1 / 4 if name == "mse" else 1 / 8))


def check_upper_bound(stored, truth, step):
    """Codes round up by at most one step of the logarithm (and float32 its last bit)."""
    assert (stored >= truth).all()
    assert (stored <= truth * step * (1 + 1e-6))[truth > 0].all()
    assert (stored[truth == 0] == 0).all()


def test_the_report_tells_the_truth(digits, digits_codec, tmp_path):
    path = tmp_path / "digits.zarr"
    report = engine.compress(
        digits, path, digits_codec, step=0.2, sidecars={"row": np.arange(5000)}
    )
    check_report(report, digits, path)
    assert report.saturated_fraction > 0
    assert report.samples_written == 5000
    assert report.elapsed_s > 0
    assert report.samples_per_s == 5000 / report.elapsed_s
    latents = sum(len(content) for name, content in tree(path / "data/part-0/latents/c").items()
                  if content is not None)  # fmt: skip
    assert report.latent_bytes == latents
    codecs = sum(map(len, filter(None, tree(path / "codecs").values())))
    assert report.codec_bytes == codecs
    assert 4 < report.zstd_ratio < 6


def test_a_store_that_does_not_pay_says_so(few, codec, tmp_path):
    report = engine.compress(few, tmp_path / "store.zarr", codec)
    assert report.ratio < report.zstd_ratio
    assert report.advice.startswith("zstd alone stores this data losslessly at ratio")


def test_constant_data(make_codec, tmp_path):
    data = np.full((40, 6), 7, np.uint8)
    report = engine.compress(data, tmp_path / "store.zarr", make_codec(data, 2), **SIZES)
    np.testing.assert_array_equal(np.asarray(engine.open(tmp_path / "store.zarr")), data)
    assert report.psnr_db == np.inf
    assert report.max_abs_error == 0


def test_latents_of_several_axes(float_network, tmp_path):
    """A codec whose latents are maps: the store keeps their axes, channels first."""
    shape = (4, 8, 8)
    data = np.random.default_rng(0).integers(0, 256, (50, *shape)).astype(np.uint8)
    encoder, decoder = (
        float_network(
            [helper.make_node("Identity", [takes], [gives])], (takes, shape), (gives, shape)
        )
        for takes, gives in ("xz", "zy")
    )
    sample = SampleFormat(shape, data.dtype, shape, (0.0, 255.0))
    codec = engine.Codec(pack_networks(encoder, decoder, sample, data, 8, training={}), "cpu")
    engine.compress(data, tmp_path / "store.zarr", codec, **SIZES)
    store = engine.open(tmp_path / "store.zarr", device="cpu")
    assert store.latents.shape == (50, *shape)
    np.testing.assert_array_equal(store.latents[:], codec.encode(data))
    np.testing.assert_array_equal(np.asarray(store), codec.decode(codec.encode(data)))


def test_a_complete_store_is_left_as_it_is(few, codec, few_store):
    before = tree(few_store)
    report = engine.compress(few, few_store, codec, **SIZES)
    assert (report.samples_written, report.samples) == (0, len(few))
    assert tree(few_store) == before


def test_overwrite_replaces_whatever_wrote_the_store(few, codec, few_store, tmp_path):
    path = tmp_path / "store.zarr"
    engine.compress(few[:20], path, codec, step=2.0, sidecars={"row": np.arange(20)})
    assert engine.compress(few, path, codec, overwrite=True, **SIZES).samples_written == len(few)
    assert_same_tree(path, few_store)


def test_overwrite_takes_no_store_for_granted(few, codec, few_store, tmp_path):
    report = engine.compress(few, tmp_path / "new.zarr", codec, overwrite=True, **SIZES)
    assert report.samples_written == len(few)
    assert_same_tree(tmp_path / "new.zarr", few_store)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"step": 2.0}, "step"),
        ({"chunk_samples": 4}, "chunk_samples"),
        ({"shard_samples": 32}, "shard_samples"),
        ({"keep_encoder": False}, "keep_encoder"),
        ({"sidecars": {"row": np.arange(100)}}, "sidecars"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_store_of_another_job_is_refused(sealed, changes, named, few, codec, few_store, tmp_path):
    path = few_store if sealed else begun(few, codec, tmp_path / "begun.zarr")
    before = tree(path)
    with pytest.raises(IncompatibleStore, match=rf"\(different: {named}\); pass --overwrite"):
        engine.compress(few, path, codec, **(SIZES | changes))
    assert tree(path) == before


def test_other_data_and_other_codecs_are_refused(few, codec, few_store, make_codec):
    other = few.copy()
    other[0, 0, 0] += 1
    with pytest.raises(IncompatibleStore, match=r"\(different: data\)"):
        engine.compress(other, few_store, codec, **SIZES)
    with pytest.raises(IncompatibleStore, match=r"\(different: data\)"):
        engine.compress(few[:99], few_store, codec, **SIZES)
    with pytest.raises(IncompatibleStore, match=r"\(different: codec\)"):
        engine.compress(few, few_store, make_codec(few, 7), **SIZES)
    floats = few.astype(np.float32)
    with pytest.raises(IncompatibleStore, match=r"\(different: data, codec\)"):
        engine.compress(floats, few_store, make_codec(floats, 8), **SIZES)


class StopError(Exception):
    """Ends a job from its progress callback, as a caller's own bug would."""


def begun(data, codec, path):
    """A store whose job ended in the middle."""

    def stop(done, total):
        if done > total / 2:
            raise StopError

    with pytest.raises(StopError):
        engine.compress(data, path, codec, progress=stop, threads=1, **SIZES)
    return path


def test_what_was_committed_is_not_done_again(few, codec, few_store, tmp_path):
    path = begun(few, codec, tmp_path / "store.zarr")
    kept = len(list(path.glob("data/part-0/commits/c/*")))
    assert kept > 1
    seen = []
    report = engine.compress(
        few, path, codec, progress=lambda done, total: seen.append((done, total)), **SIZES
    )
    assert report.samples_written == len(few) - 16 * kept
    assert seen[0] == (16 * kept, 100)
    assert seen[-1] == (100, 100)
    assert_same_tree(path, few_store)


def test_progress_counts_every_sample_once(few, codec, tmp_path):
    seen, threads = [], set()

    def watch(done, total):
        seen.append(done)
        threads.add(threading.get_ident())

    engine.compress(few, tmp_path / "store.zarr", codec, progress=watch, threads=3, **SIZES)
    assert seen == sorted(seen)
    assert seen[-1] == len(few)


def test_a_store_without_its_encoder_still_decodes(few, codec, few_store, tmp_path):
    path = tmp_path / "store.zarr"
    report = engine.compress(few, path, codec, keep_encoder=False, **SIZES)
    store = engine.open(path, device="cpu")
    with engine.open(few_store, device="cpu") as whole:
        np.testing.assert_array_equal(np.asarray(store), np.asarray(whole))
        assert report.stored_bytes < whole.summary.stored_bytes
    assert store.codec.digest == codec.digest
    assert engine.verify(path, against=few, device="cpu").ok
    with pytest.raises(engine.EngineError, match="without its encoder"):
        store.codec.encode(few)


def test_a_codec_may_be_a_path(few, codec, few_store, tmp_path):
    codec.save(tmp_path / "digits.codec")
    engine.compress(few, tmp_path / "store.zarr", tmp_path / "digits.codec", **SIZES)
    assert_same_tree(tmp_path / "store.zarr", few_store)


def test_missing_folders_above_the_store_are_made(few, codec, tmp_path):
    engine.compress(few, tmp_path / "a/b/store.zarr", codec)
    assert len(engine.open(tmp_path / "a/b/store.zarr")) == 100


def test_an_empty_folder_may_become_a_store(few, codec, few_store, tmp_path):
    engine.compress(few, tmp_path, codec, **SIZES)
    assert_same_tree(tmp_path, few_store)


def test_the_grid_is_planned_where_nothing_is_said(digits, digits_codec, tmp_path):
    engine.compress(digits, tmp_path / "store.zarr", digits_codec)
    part = StoreContents(tmp_path / "store.zarr").part
    assert (part.chunk_samples, part.shard_samples % part.chunk_samples) == (256, 0)


def test_the_report_counts_how_samples_are_kept(kept, tmp_path):
    report = kept.compress(tmp_path / "store.zarr")
    store = engine.open(tmp_path / "store.zarr", device="cpu")
    ledger = store.contents.ledger
    found = {mode.name.lower(): int((ledger["mode"] == mode).sum()) for mode in Mode}
    assert report.modes == found
    assert sum(found.values()) == len(ledger)
    patched = "patched" in store.contents.arrays and ledger["patches"].any()
    assert bool(report.patches) == bool(patched)
    assert report.patches >= report.exceptions * np.prod(kept.data.shape[1:])
    assert report.guarantee == str(store.guarantee)


@pytest.mark.parametrize(
    ("kind", "portable"), [("none", True), ("min PSNR", True), ("verbatim", False)]
)
def test_the_head_says_whether_every_zarr_tool_opens_the_store(kind, portable, kept_store):
    contents = StoreContents(kept_store(kind).path)
    assert contents.head.portable == portable
    assert portable == all(array.coded.coding.is_portable for array in contents.arrays.values())
