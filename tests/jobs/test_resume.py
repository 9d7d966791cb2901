"""Jobs that are killed: run again, they end with the very bytes of a job that was not."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import engine

from ..laws import assert_same_tree

SAMPLES, COPIES = 96, 16
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
    store, rng, kills = tmp_path / "digits.zarr", np.random.default_rng(0), 0
    job.kill(store, whole[1] // 3)  # once it is created
    while job.kill(store, int(rng.integers(15, 50)), threads=2)[1] == KILLED:
        kills += 1
    assert kills >= 8
    assert_same_tree(store, whole[0])


@pytest.mark.parametrize("kill_at", [1, 9, 30, 120])
def test_killed_while_it_overwrites_another_store(kill_at, job, whole, tmp_path):
    store = tmp_path / "digits.zarr"
    job.run(store, step=2.0)
    assert job.kill(store, kill_at, overwrite=True) == (kill_at, KILLED)
    check_readable_or_refused(store, job.data)
    job.run(store, overwrite=True)
    assert_same_tree(store, whole[0])


def test_killed_while_it_overwrites_it_goes_on_without_being_told_again(job, whole, tmp_path):
    store = tmp_path / "digits.zarr"
    job.run(store, step=2.0)
    job.kill(store, 9, overwrite=True)
    job.run(store)
    assert_same_tree(store, whole[0])


def test_killed_while_it_takes_back_a_store_of_bad_data(job, make_codec, tmp_path):
    data = job.data.astype(np.float32)
    make_codec(data, 4).save(tmp_path / "float.codec")
    data[90, 3, 4] = np.nan
    np.save(tmp_path / "bad.npy", data)
    bad = {"data": str(tmp_path / "bad.npy"), "codec": str(tmp_path / "float.codec")}
    store = tmp_path / "digits.zarr"
    operations, status = job.kill(store, 0, **bad)
    assert status == REFUSED
    for before_the_end in (0, 2, 20, 60):
        assert job.kill(store, operations - before_the_end, **bad)[1] == KILLED
        check_readable_or_refused(store, data)
        assert job.kill(store, 0, **bad)[1] == REFUSED
        assert not store.exists()


@pytest.fixture(scope="module")
def many(job, tmp_path_factory):
    """Data of many shards, and the store of an uninterrupted job."""
    folder = tmp_path_factory.mktemp("many")
    np.save(folder / "many.npy", np.tile(job.data, (COPIES, 1, 1)))
    store, codec = folder / "whole.zarr", job.options["codec"]
    engine.compress(folder / "many.npy", store, codec, shard_samples=8, device="cpu")
    return folder / "many.npy", store


@pytest.fixture
def command(job, many, tmp_path):
    """The command line of a job of many shards, and the store that it writes."""
    store = tmp_path / "many.zarr"
    options = ["--codec", job.options["codec"], "--shard-samples", "8", "--device", "cpu"]
    return [sys.executable, "-m", "engine", "compress", many[0], store, *options], store


def wait_for_shards(store, process, count=1):
    while len(list(store.glob("data/part-0/commits/c/*"))) < count:
        assert process.poll() is None, "the job ended before it could be interrupted"
        time.sleep(0.002)


def test_ctrl_c_says_one_line_and_the_same_command_goes_on(command, many):
    command, store = command
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for_shards(store, process, 5)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "interrupted: run the same command again to go on\n"
        assert process.wait() == 130
    with pytest.raises(engine.IncompleteStore):
        engine.open(store)
    resumed = json.loads(subprocess.check_output([*command, "--json"]))
    assert 0 < resumed["samples_written"] < resumed["samples"] == COPIES * SAMPLES
    assert_same_tree(store, many[1])


def test_kill_9_at_any_moment(command, many):
    command, store = command
    rng, kills = np.random.default_rng(1), 0
    while kills < 3:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                process.wait(timeout=float(rng.uniform(0.8, 1.6)))
                break
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert_same_tree(store, many[1])


def test_a_second_job_is_refused_and_the_first_unharmed(command, many, job):
    command, store = command
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_for_shards(store, process)
        for overwrite in (False, True):
            with pytest.raises(engine.IncompatibleStore, match="another job is writing"):
                job.run(store, overwrite=overwrite)
        assert process.wait() == 0
    assert_same_tree(store, many[1])
