"""Codecs that a comparison trains itself."""

import numpy as np
import pytest

from engine.comparing import own_codecs
from engine.comparing.compare import compare
from engine.comparing.own_codecs import default_architectures, train_codecs
from engine.comparing.split_samples import plan_split, read_split
from engine.errors import InvalidInput
from engine.sources import open_source

RATES = ("1.23 B", "3.06 B")


@pytest.fixture(autouse=True)
def _few_settings(monkeypatch):
    monkeypatch.setattr(own_codecs, "_RATIOS", (40, 16))
    monkeypatch.setattr(own_codecs, "_STEPS", (1.4, 1.0))


@pytest.fixture(scope="module")
def few_digits(digits):
    return digits[np.random.default_rng(0).permutation(len(digits))[:400], ::4, ::4].copy()


def split(samples):
    return read_split(open_source(samples), plan_split(len(samples), samples[0].nbytes))


def modified(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_every_rate_is_a_codec_that_is_trained_once_and_again_if_damaged(few_digits, tmp_path):
    seen = []
    data = split(few_digits)

    def trained():
        (store,), refusals = train_codecs(
            data, ["klt"], tmp_path, 400, lambda *state: seen.append(state)
        )
        assert refusals == []
        return store

    store = trained()
    settings = [str(one) for one in store.settings(data)]
    assert settings[:4] == [f"{r}, step {step}" for r in RATES for step in (1.4, 1)]
    assert settings[-1] == "lossless"
    assert seen[0] == (0, 2, "training klt for 1.23 B, 100%") and seen[-1][:2] == (1, 2)
    before = modified(tmp_path)
    assert trained().identity == store.identity and modified(tmp_path) == before
    next(tmp_path.rglob("decoder.onnx")).write_bytes(b"")
    assert trained().identity == store.identity


def test_the_linear_codec_is_a_peer_unless_nothing_is_to_be_trained(few_digits):
    found = compare(few_digits, peers=["zstd"], train=["klt"])
    ours = {point.setting: point for point in found.points if point.method == "klt"}
    assert ours["3.06 B, step 1"].psnr_db > ours["1.23 B, step 1"].psnr_db
    assert ours["lossless"].psnr_db == np.inf
    assert all(point.is_ours for point in ours.values())


def test_the_network_is_that_for_the_size_of_samples():
    assert default_architectures((28, 28)) == ("klt", "transform")
    assert default_architectures((256, 256)) == ("klt", "conv-transform")
    assert default_architectures((64, 16, 16, 16)) == ("klt",)
    with pytest.raises(InvalidInput, match="can't train"):
        compare(np.zeros((9, 4), np.uint8), train=["dense"])


@pytest.mark.slow
@pytest.mark.parametrize("gap", [np.nan, -9999])
def test_data_with_gaps_are_measured_too(few_digits, gap):
    samples = few_digits.astype(np.float32)
    samples[:, 0, 0] = gap
    found = compare(samples, peers=["zstd"], train=["klt"])
    assert {point.method for point in found.points} == {"klt", "zstd-3", "zstd-19"}
    steps = [point for point in found.points if point.is_ours and point.bound is None]
    assert len(steps) == 4 and all(10 < point.psnr_db < 60 for point in steps)


@pytest.mark.slow
def test_data_without_variance_are_no_case_for_a_network():
    found = compare(np.full((200, 8, 8), 7, np.uint8), peers=["zstd"], train=["klt"])
    assert all(point.psnr_db == np.inf for point in found.points)
    assert "zstd" in found.advice[0] and "at no level" in found.advice[-1]
