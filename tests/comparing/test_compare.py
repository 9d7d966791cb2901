"""A comparison from data to advice, and one that is cut off."""

import functools
import json

import numpy as np
import pytest

from engine.comparing import compare as module
from engine.comparing.compare import compare
from engine.comparing.families import FAMILIES
from engine.comparing.record import PREVIEW_SAMPLES
from engine.comparing.split_samples import plan_split, read_split
from engine.errors import InvalidInput
from engine.sources import open_source

PEERS = ("zstd", "pcodec")
compare_peers = functools.partial(compare, train=[])


@pytest.fixture(scope="module")
def few_digits(digits):
    return digits[np.random.default_rng(0).permutation(len(digits))[:400], ::4, ::4].copy()


@pytest.fixture(scope="module")
def codec_folder(few_digits, make_codec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("codecs") / "digits.codec"
    make_codec(few_digits, 8).save(folder)
    return folder


@pytest.fixture(scope="module")
def compared(few_digits, codec_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "new" / "folder"
    return compare_peers(few_digits, [codec_folder], peers=PEERS, out=out), out


def test_every_point_was_really_decoded(compared, few_digits):
    found, _ = compared
    split = plan_split(400, 49)
    test = read_split(open_source(few_digits), split).test
    np.testing.assert_array_equal(found.originals, test[:PREVIEW_SAMPLES])
    for measured in found.measured:
        error = np.abs(measured.preview.astype(int) - test[:PREVIEW_SAMPLES]).max()
        assert error <= measured.point.max_abs_error
        assert measured.point.samples == len(test) == 64
        assert measured.point.bound is None or measured.point.keeps_bound
    assert found.refusals == ()


def test_a_codec_is_measured_at_steps_within_bounds_and_without_loss(compared):
    points = {point.setting: point for point in compared[0].points if point.is_ours}
    assert {point.method for point in points.values()} == {"digits.codec"}
    assert points["step 4"].payload_bytes < points["step 1"].payload_bytes
    assert points["step 4"].psnr_db < points["step 1"].psnr_db
    assert points["max error 12"].max_abs_error <= 12
    assert points["lossless"].psnr_db == np.inf
    assert points["step 1"].decoder_bytes > 8 * 49 * 4 / 2  # weights, at least as float16
    assert points["step 1"].metadata_bytes > 1000


def test_decoders_are_shared_by_the_samples_asked_for(compared, few_digits, codec_folder):
    found, out = compared
    many = compare_peers(few_digits, peers=PEERS, out=out, for_samples=10**6)
    assert found.facts.for_samples == 400 and many.facts.for_samples == 10**6
    assert many.points == tuple(point for point in found.points if not point.is_ours)
    ours = next(point for point in found.points if point.is_ours)
    shared = ours.decoder_bytes + ours.metadata_bytes
    assert ours.sample_bytes(400) - ours.sample_bytes(10**6) == pytest.approx(
        shared / 400 - shared / 10**6
    )


def test_a_finished_comparison_is_not_measured_again(compared, few_digits, codec_folder):
    found, out = compared
    seen = []
    again = compare_peers(
        few_digits, [codec_folder], peers=PEERS, out=out, progress=lambda *state: seen.append(state)
    )
    assert again.to_json() == found.to_json()  # speeds too, which no second run would repeat
    assert json.loads((out / "results.json").read_text()) == json.loads(json.dumps(found.to_json()))
    assert seen[0][:2] == (0, len(found.points)) and seen[-1] == (*[len(found.points)] * 2, "")


def test_an_interrupted_comparison_goes_on(few_digits, tmp_path):
    def interrupt(done, total, note):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare_peers(few_digits, peers=PEERS, out=tmp_path, progress=interrupt)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "points").iterdir()}
    assert len(kept) == 2 * 2
    found = compare_peers(few_digits, peers=PEERS, out=tmp_path)
    assert len(found.points) == 2 + 1
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())


@pytest.mark.parametrize("damage", ["", "{}", '{"method": "zstd-3"}', '{"reason": 1, "x": 2}', "["])
def test_a_damaged_point_is_measured_again(few_digits, tmp_path, damage):
    compare_peers(few_digits, peers=["zstd"], out=tmp_path)
    for path in (tmp_path / "points").glob("*.json"):
        path.write_text(damage)
    found = compare_peers(few_digits, peers=["zstd"], out=tmp_path)
    assert [point.method for point in found.points] == ["zstd-3", "zstd-19"]
    kept = [json.loads(path.read_text()) for path in (tmp_path / "points").glob("*.json")]
    assert {one["method"] for one in kept} == {"zstd-3", "zstd-19"}


def test_other_data_are_other_points(few_digits, tmp_path):
    compare_peers(few_digits, peers=["zstd"], out=tmp_path)
    compare_peers(255 - few_digits, peers=["zstd"], out=tmp_path)
    compare_peers(few_digits, peers=["zstd"], out=tmp_path, chunk_samples=32)
    assert len(list((tmp_path / "points").glob("*.json"))) == 2 + 2 + 2


def test_what_a_peer_refuses_is_said_and_kept(few_digits, tmp_path):
    gaps = few_digits.astype(np.float32)
    gaps[:, 0, 0] = np.nan
    for _ in range(2):
        found = compare_peers(gaps, peers=["zstd", "quantised"], out=tmp_path)
        assert {point.method for point in found.points} == {"zstd-3", "zstd-19"}
        assert {one.reason for one in found.refusals} == {"NaN has no level"}


def test_a_peer_that_is_not_installed_is_named(few_digits, monkeypatch):
    monkeypatch.setattr(FAMILIES["pcodec"][0], "package", "a_package_that_nobody_has")
    found = compare_peers(few_digits, peers=PEERS)
    (line,) = found.missing
    assert line.startswith("pcodec is left out: a_package_that_nobody_has is not installed (pip")
    assert {point.method for point in found.points} == {"zstd-3", "zstd-19"}


def test_unfit_codecs_and_unknown_peers_are_refused_before_anything_runs(codec_folder, few_digits):
    with pytest.raises(InvalidInput, match="train one on this data"):
        compare_peers(few_digits[:, :5], [codec_folder])
    with pytest.raises(InvalidInput, match="unknown peers"):
        compare_peers(few_digits, peers=["gzip"])
    with pytest.raises(InvalidInput, match="test_samples"):
        compare_peers(few_digits, test_samples=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["digits", "fields", "vectors", "colour", "volumes", "int32"])
def test_every_peer_on_every_kind_of_data(kind, few_digits, tmp_path):
    from bench.fields import turbulent_fields

    rng = np.random.default_rng(0)
    data = {
        "digits": few_digits[:128],
        "fields": turbulent_fields(160),
        "vectors": (rng.standard_normal((700, 6)) @ rng.standard_normal((6, 48))).astype("f4"),
        "colour": np.stack([few_digits[:128]] * 3, axis=-1),
        "volumes": rng.standard_normal((64, 6, 8, 9)).cumsum(axis=-1),
        "int32": rng.integers(-(10**6), 10**6, (128, 40), np.int32).cumsum(0, np.int32),
    }[kind]
    found = compare_peers(data, out=tmp_path)
    assert {"zstd-3", "zstd-19"} < {point.method for point in found.points}
    assert all(point.bound is None or point.keeps_bound for point in found.points)
    assert (tmp_path / "index.html").stat().st_size > 10_000


def test_held_out_samples_are_what_is_measured(few_digits, digits):
    others = 255 - digits[:100, ::4, ::4]
    found = compare_peers(few_digits, peers=["zstd"], held_out=others, chunk_samples=100)
    np.testing.assert_array_equal(found.originals, others[:PREVIEW_SAMPLES])
    assert found.facts.test_samples == 100 and found.facts.for_samples == 400


def test_nothing_is_written_without_out(few_digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "write_report", None)  # would fail if it were called
    assert compare_peers(few_digits, peers=["zstd"]).advice
    assert list(tmp_path.iterdir()) == []
