"""Jobs that are killed: run again, they end with the very bytes of a job that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import engine

from ..laws import assert_same_tree, tree

SAMPLES = 96
SIZES = {"chunk_samples": 4, "shard_samples": 8}
KILLED, ENDED, REFUSED = signal.SIGKILL, 0, 1 << 8


class Job:
    """A compress job, run here or killed in a process of its own."""

    def __init__(self, folder, data, labels, codec):
        self.data, self.labels, self.codec = data, labels, codec
        self.paths = {"data": str(folder / "data.npy"), "labels": str(folder / "labels.npy")}
        np.save(self.paths["data"], data)
        np.save(self.paths["labels"], labels)
        codec.save(folder / "digits.codec")
        self.options = {"codec": str(folder / "digits.codec"), "device": "cpu", **SIZES}
        script = [sys.executable, Path(__file__).with_name("killed_job.py")]
        self.process = subprocess.Popen(
            script, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def kill(self, store, kill_at, **options):
        """Kill before operation `kill_at`, 0 for never; operations done and wait status."""
        request = {"kill_at": kill_at, "store": str(store), "threads": 1}
        print(
            json.dumps(request | self.paths | self.options | options),
            file=self.process.stdin,
            flush=True,
        )
        return tuple(map(int, self.process.stdout.readline().split()))

    def run(self, store, **options):
        return engine.compress(
            self.data, store, sidecars={"label": self.labels}, **self.options, **options
        )


@pytest.fixture(scope="module")
def job(digits, digit_labels, make_codec, tmp_path_factory):
    data = digits[:: len(digits) // SAMPLES][:SAMPLES]
    labels = digit_labels[:: len(digits) // SAMPLES][:SAMPLES]
    job = Job(tmp_path_factory.mktemp("job"), data, labels, make_codec(data, 4))
    with job.process:
        yield job
        job.process.stdin.close()


@pytest.fixture(scope="module")
def whole(job, tmp_path_factory):
    """The store of a job that nothing interrupted, and how many file operations that took."""
    store = tmp_path_factory.mktemp("whole") / "digits.zarr"
    operations, status = job.kill(store, kill_at=0)
    assert status == ENDED
    return store, operations


def check_readable_or_refused(store, data):
    """A store that was killed reads as an error, or, once sealed, right."""
    try:
        with engine.open(store, device="cpu") as opened:
            assert len(opened) == len(data)
            assert np.asarray(opened).shape == data.shape
    except (engine.IncompleteStore, engine.InvalidInput):
        return
    except engine.CorruptStore as error:
        assert "not a latent store" in str(error)


def check_killed_at(kill_at, job, whole, store):
    assert job.kill(store, kill_at) == (kill_at, KILLED)
    check_readable_or_refused(store, job.data)
    report = job.run(store)
    assert report.samples == SAMPLES
    assert_same_tree(store, whole[0])


def test_two_jobs_and_any_number_of_threads_write_the_same_bytes(job, whole, tmp_path):
    job.run(tmp_path / "again.zarr", threads=3)
    assert_same_tree(tmp_path / "again.zarr", whole[0])


@pytest.mark.parametrize("point", range(12))
def test_killed_anywhere_from_the_first_operation_to_the_last(point, job, whole, tmp_path):
    kill_at = 1 + point * (whole[1] - 1) // 11
    check_killed_at(kill_at, job, whole, tmp_path / "digits.zarr")


@pytest.mark.slow
def test_killed_before_every_operation(job, whole, tmp_path):
    for kill_at in range(1, whole[1] + 1):
        check_killed_at(kill_at, job, whole, tmp_path / f"{kill_at}.zarr")


def test_killed_again_and_again(job, whole, tmp_path):
    store, rng = tmp_path / "digits.zarr", np.random.default_rng(0)
    for _ in range(12):
        _, status = job.kill(store, int(rng.integers(1, 120)), threads=2)
        assert status in (KILLED, ENDED)
    job.run(store)
    assert_same_tree(store, whole[0])


@pytest.mark.parametrize("point", range(4))
def test_killed_while_it_overwrites_another_store(point, job, whole, tmp_path):
    store = tmp_path / "digits.zarr"
    job.run(store, step=2.0)
    before = tree(store)
    kill_at = (1, 3, 20, 70)[point]
    assert job.kill(store, kill_at, overwrite=True) == (kill_at, KILLED)
    check_readable_or_refused(store, job.data)
    if tree(store).keys() <= before.keys():
        pass
    job.run(store, overwrite=True)
    assert_same_tree(store, whole[0])
