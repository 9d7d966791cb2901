"""Stores whose job has not ended: what is committed reads right, and the rest never as anything."""

import json
import pickle
import shutil

import click.testing
import numpy as np
import pytest

import engine
from engine.cli import main
from engine.errors import CorruptStore, IncompleteStore

from ..kept_stores import SHARD_SAMPLES, shard_names, shard_of
from ..laws import flip_bit, same_values

KEPT = np.arange(22) < SHARD_SAMPLES


@pytest.fixture(scope="module")
def incomplete(kept, tmp_path_factory):
    """The store of a job that was interrupted at its second shard."""
    path = tmp_path_factory.mktemp("incomplete") / "begun.zarr"

    def stop(done, total):
        if done > SHARD_SAMPLES:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept.compress(path, progress=stop)
    return path


@pytest.fixture
def opened(incomplete):
    with engine.open(incomplete, device="cpu", incomplete=True) as store:
        yield store


def test_without_the_flag_it_is_refused(incomplete):
    for refused in (engine.open, engine.verify):
        with pytest.raises(IncompleteStore, match=r"run the same .engine compress. again"):
            refused(incomplete)


def test_it_says_what_is_committed(opened, kept):
    assert opened.committed.tolist() == KEPT.tolist()
    assert len(opened) == len(kept.data)
    assert opened.summary.samples == KEPT.sum()
    whole = engine.open(kept.path, device="cpu")
    assert whole.committed.all()
    assert opened.summary.max_abs_error <= whole.summary.max_abs_error


def test_what_is_committed_reads_as_in_the_whole_store(opened, kept):
    whole = engine.open(kept.path, device="cpu")
    assert same_values(opened[KEPT], whole[KEPT])
    assert same_values(opened[7], whole[7])
    assert same_values(opened.read([0, 6]), whole.read([0, 6]))


@pytest.mark.parametrize(
    "read",
    [
        lambda store: store[8],
        lambda store: store[:],
        lambda store: store[[0, 15]],
        np.asarray,
        list,
        lambda store: store.read_latents([9]),
        lambda store: store.contents.check_stored("quality"),
        lambda store: store.quality,
    ],
    ids=["one", "all", "some", "array", "iteration", "latents", "stored", "quality"],
)
def test_what_is_not_committed_is_an_error_that_names_the_shard(read, opened):
    with pytest.raises(IncompleteStore, match=r"shard 1 \(samples 8 to 15\) was not committed"):
        read(opened)


def test_sidecars_of_shards_that_are_not_committed(opened, kept):
    if "sidecars" in kept.options:
        with pytest.raises(IncompleteStore, match=r"shard 1 \(samples 8 to 15\)"):
            opened.sidecars  # noqa: B018
    else:
        assert opened.sidecars == {}


def test_a_damaged_shard_of_an_incomplete_store(incomplete, opened):
    name = next(name for name in shard_names(incomplete) if shard_of(name) == 0)
    content = (incomplete / name).read_bytes()
    try:
        flip_bit(incomplete / name, 99)
        with pytest.raises(CorruptStore, match=name):
            opened.contents.read_chunk(name.split("/")[2], shard_of(name), 0)
    finally:
        (incomplete / name).write_bytes(content)


def test_a_damaged_record_is_an_error_not_a_gap(incomplete):
    record = incomplete / "data/part-0/commits/c/0"
    content = record.read_bytes()
    try:
        flip_bit(record, 999)
        with pytest.raises(CorruptStore, match="ledger record of shard 0 is damaged"):
            engine.open(incomplete, device="cpu", incomplete=True)[0]
    finally:
        record.write_bytes(content)


def test_it_can_be_sent_elsewhere(opened):
    assert pickle.loads(pickle.dumps(opened)).committed.tolist() == KEPT.tolist()  # noqa: S301


def test_nothing_committed_yet(kept, tmp_path):
    with pytest.raises(ZeroDivisionError):
        kept.compress(tmp_path / "begun.zarr", progress=lambda done, total: 1 / 0)
    store = engine.open(tmp_path / "begun.zarr", device="cpu", incomplete=True)
    assert not store.committed.any()
    with pytest.raises(IncompleteStore, match="nothing was committed yet"):
        store.summary  # noqa: B018


def test_the_job_still_goes_on(incomplete, kept, tmp_path):
    copy = shutil.copytree(incomplete, tmp_path / "begun.zarr")
    engine.open(copy, device="cpu", incomplete=True)[0]
    assert kept.compress(copy).samples_written == len(kept.data) - SHARD_SAMPLES
    assert engine.verify(copy, against=kept.data, device="cpu").ok


def run(*arguments):
    return click.testing.CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command_line(incomplete, kept, tmp_path):
    out = tmp_path / "some.npy"
    decode = ("decode", incomplete, out, "--device", "cpu")
    assert run(*decode).exit_code == run("info", incomplete).exit_code == 1
    assert "--incomplete" in run(*decode).output
    refused = run(*decode, "--incomplete")
    assert refused.exit_code == 1
    assert "shard 1 (samples 8 to 15) was not committed" in refused.output
    assert not out.exists()
    assert run(*decode, "--incomplete", "--rows", "2:8").exit_code == 0
    assert same_values(np.load(out), engine.open(kept.path, device="cpu")[2:8])
    facts = json.loads(run("info", incomplete, "--incomplete", "--json").output)
    assert (facts["committed_samples"], facts["shape"][0]) == (8, 22)


@pytest.mark.parametrize("kept", ["max error"], indirect=True)
@pytest.mark.parametrize(
    ("size", "fits"),
    [("4GB", True), ("1MiB", True), ("1e3", None), ("100", False), ("0.1 kB", False)],
)
def test_a_limit_on_memory(size, fits, kept, tmp_path):
    path = kept.path
    for command in (["info", path], ["verify", path], ["decode", path, tmp_path / "x.npy"]):
        result = run(*command, "--max-memory", size)
        assert result.exit_code == {True: 0, False: 1, None: 2}[fits], result.output
        if fits is False:
            assert "100" in result.output
