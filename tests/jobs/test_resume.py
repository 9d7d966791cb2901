"""Jobs that are killed: run again, they end with the very bytes of a job that was not."""

import json
import signal
import subprocess
import time

import numpy as np
import pytest

import engine

from ..laws import assert_same_tree
from .interruptions import (
    ENDED,
    FRESH_SEED,
    KILLED,
    NO_FAULT,
    Fault,
    check_refusal,
    draw_fault,
    generator,
)


def duration_s(job, store, **options):
    """How long an uninterrupted job takes."""
    began = time.perf_counter()
    assert job.interrupt(store, NO_FAULT, **options).status == ENDED
    return time.perf_counter() - began


def kill_until_it_ends(job, store, rng, mean_s, **options):
    """Kill a job at random moments, going on each time; how often it was killed."""
    kills = 0
    while job.interrupt(store, kill_after_s=rng.uniform(0, 2 * mean_s), **options).status == KILLED:
        job.check_untorn(store)
        kills += 1
        mean_s *= 1.02  # a machine that is busy all at once gets there, too
    return kills


def test_two_jobs_and_any_number_of_threads_write_the_same_bytes(interrupted, tmp_path):
    interrupted.run(tmp_path / "again.zarr", threads=3)
    assert_same_tree(tmp_path / "again.zarr", interrupted.whole)


def check_random_kills(job, folder, rng, count):
    """Killed before operations of every kind: creating, between two bytes of a write, syncing."""
    kills = 0
    for attempt in range(2 * count):
        store, fault = job.prepared(folder / f"{attempt}.zarr"), draw_fault(rng, job.counts)
        # The number of reads and folder syncs varies a little: the last ones may not come.
        kills += job.interrupt(store, fault).status == KILLED
        job.check_goes_on(store)
        if kills == count:
            return
    raise AssertionError(f"only {kills} of {count} kills were reached")


def test_a_dozen_kills_before_random_operations(interrupted, tmp_path):
    check_random_kills(interrupted, tmp_path, generator(0), 12)


def test_kills_while_it_overwrites_another_store(overwriting, tmp_path):
    check_random_kills(overwriting, tmp_path, generator(1), 6)


@pytest.mark.slow
def test_a_hundred_kills_before_random_operations(any_job, tmp_path):
    check_random_kills(any_job, tmp_path, generator(FRESH_SEED), 100)


@pytest.mark.slow
def test_killed_before_every_operation_that_names_a_file(interrupted, tmp_path):
    kinds = ("create", "rename", "mkdir", "remove", "rmdir")
    for kill_at in range(1, sum(interrupted.counts[kind] for kind in kinds) + 1):
        store = tmp_path / f"{kill_at}.zarr"
        assert interrupted.interrupt(store, Fault(kinds, kill_at)).status == KILLED
        interrupted.check_goes_on(store)


def check_timed_kills(job, folder, rng, count, threads):
    """Killed by the clock: anywhere in the interpreter, the libraries or the kernel."""
    longest_s, kills = duration_s(job, folder / "timed.zarr", threads=threads), 0
    for kill in range(count):
        store, after_s = folder / f"{kill}.zarr", rng.uniform(0, longest_s)
        kills += job.interrupt(store, kill_after_s=after_s, threads=threads).status == KILLED
        job.check_goes_on(store)
    assert kills > count // 3


@pytest.mark.parametrize("threads", [1, 3])
def test_kills_at_random_moments(threads, interrupted, tmp_path):
    check_timed_kills(interrupted, tmp_path, generator(threads), 6, threads)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_a_hundred_kills_at_random_moments(threads, interrupted, tmp_path):
    check_timed_kills(interrupted, tmp_path, generator(FRESH_SEED), 50, threads)


def test_a_long_job_killed_again_and_again(interrupted_long, tmp_path):
    store, rng = tmp_path / "digits.zarr", generator(0)
    assert kill_until_it_ends(interrupted_long, store, rng, 0.25, threads=2) >= 3
    assert_same_tree(store, interrupted_long.whole)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_long_jobs_killed_a_hundred_times_in_all(threads, interrupted_long, tmp_path):
    rng, kills = generator(FRESH_SEED), 0
    while kills < 50:
        store = tmp_path / f"{kills}.zarr"
        kills += kill_until_it_ends(interrupted_long, store, rng, 0.15, threads=threads)
        assert_same_tree(store, interrupted_long.whole)


def test_killed_while_it_overwrites_it_goes_on_without_being_told_again(overwriting, tmp_path):
    store = overwriting.prepared(tmp_path / "digits.zarr")
    assert overwriting.interrupt(store, Fault(("remove",), 9)).status == KILLED
    overwriting.check_goes_on(store, overwrite=False)


def test_killed_while_it_takes_back_a_store_of_bad_data(
    interrupted, options, few, make_codec, tmp_path
):
    if options:
        pytest.skip("no data are bad for a guarantee: it keeps NaN, or refuses before it writes")
    data = few[0].astype(np.float32)
    make_codec(data, 4).save(tmp_path / "float.codec")
    data[90, 3, 4] = np.nan
    np.save(tmp_path / "bad.npy", data)
    bad = {"data": str(tmp_path / "bad.npy"), "codec": str(tmp_path / "float.codec")}
    store = tmp_path / "digits.zarr"
    refused = interrupted.interrupt(store, NO_FAULT, **bad)
    assert refused.error == "InvalidInput"
    removals = refused.counts["remove"]
    for before_the_end in (0, 2, 10, 20):
        fault = Fault(("remove",), removals - before_the_end)
        assert interrupted.interrupt(store, fault, **bad).status == KILLED
        with pytest.raises((engine.IncompleteStore, engine.CorruptStore)):
            engine.open(store)
        check_refusal(interrupted.interrupt(store, NO_FAULT, **bad), "InvalidInput")
        assert not store.exists()


def wait_for_shards(store, process, count=1):
    while len(list(store.glob("data/part-0/commits/c/*"))) < count:
        assert process.poll() is None, "the job ended before it could be interrupted"
        time.sleep(0.002)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_says_one_line_and_the_same_command_goes_on(
    interrupted_long, tmp_path, sent, status
):
    job, store = interrupted_long, tmp_path / "many.zarr"
    with subprocess.Popen(job.command(store), stderr=subprocess.PIPE, text=True) as process:
        wait_for_shards(store, process, 5)
        process.send_signal(sent)
        assert process.stderr.read() == "interrupted: run the same command again to go on\n"
        assert process.wait() == status
    with pytest.raises(engine.IncompleteStore):
        engine.open(store)
    resumed = json.loads(subprocess.check_output([*job.command(store), "--json"]))
    assert 0 < resumed["samples_written"] < resumed["samples"] == job.samples
    assert_same_tree(store, job.whole)


def test_a_second_job_is_refused_and_the_first_unharmed(interrupted_long, tmp_path):
    job, store = interrupted_long, tmp_path / "many.zarr"
    with subprocess.Popen(job.command(store), stdout=subprocess.DEVNULL) as process:
        wait_for_shards(store, process)
        for overwrite in (False, True):
            with pytest.raises(engine.IncompatibleStore, match="another job is writing"):
                job.run(store, overwrite=overwrite)
        assert process.wait() == 0
    assert_same_tree(store, job.whole)
