"""Jobs that the operating system fails: one line says so, and the same job run again ends well."""

import errno
import shutil

import pytest

from ..laws import assert_same_tree
from .interruptions import (
    CHANGES,
    FRESH_SEED,
    KINDS,
    LOOKS,
    Fault,
    check_refusal,
    draw_fault,
    generator,
    reading,
    small_disk,
)

FULL, BROKEN = errno.ENOSPC, errno.EIO
DISK_BYTES, PAGE_BYTES = 16 << 20, 4096


def check_failures(job, folder, rng, count, kinds=KINDS, act=BROKEN, lasting=False):
    for failure in range(count):
        store = job.prepared(folder / f"{kinds[0]}-{failure}.zarr")
        fault = draw_fault(rng, job.counts, kinds, act=act, lasting=lasting)
        check_refusal(job.interrupt(store, fault), "StorageError")
        job.check_goes_on(store)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_that_fails(kind, lasting, interrupted, tmp_path):
    check_failures(interrupted, tmp_path, generator(lasting), 2, (kind,), lasting=lasting)


@pytest.mark.parametrize("kind", [*LOOKS, "lock"])
def test_a_look_that_fails(kind, interrupted, tmp_path):
    """Of the source, the codec or the store; a folder that can't be locked is written unlocked."""
    store = tmp_path / "digits.zarr"
    for failure in range(2):
        fault = draw_fault(generator(failure), interrupted.counts, (kind,), act=BROKEN)
        check_refusal(interrupted.interrupt(store, fault), "StorageError", "InvalidInput")
        interrupted.check_untorn(store)
    interrupted.check_goes_on(store)


def test_failures_while_it_overwrites_another_store(overwriting, tmp_path):
    check_failures(overwriting, tmp_path, generator(0), 8, CHANGES, FULL, lasting=True)


def test_failures_while_it_seals(interrupted, tmp_path):
    """The last renames publish the ledger and the head, the removals after them its records."""
    for kind, before_the_end in [("rename", 0), ("rename", 1), ("sync", 0), ("remove", 5)]:
        store = tmp_path / f"{kind}-{before_the_end}.zarr"
        fault = Fault((kind,), interrupted.counts[kind] - before_the_end, BROKEN)
        outcome = interrupted.interrupt(store, fault)
        assert outcome.error == "StorageError"
        check_refusal(outcome, "StorageError")
        interrupted.check_goes_on(store)


def test_failing_again_and_again_it_gets_there(interrupted, tmp_path):
    """Each run is failed some operations later than the run before, of one store."""
    store, rng, failures, at = tmp_path / "digits.zarr", generator(0), 0, 0
    while True:
        at += int(rng.integers(1, 150))
        outcome = interrupted.interrupt(store, Fault(CHANGES, at, BROKEN), threads=2)
        check_refusal(outcome, "StorageError")
        interrupted.check_untorn(store)
        if outcome.error is None:
            break
        failures += 1
    assert failures >= 3
    assert_same_tree(store, interrupted.whole)


@pytest.mark.slow
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("act", [BROKEN, FULL, errno.EACCES, errno.EROFS])
def test_changes_that_fail_at_random(act, lasting, any_job, tmp_path):
    check_failures(any_job, tmp_path, generator(FRESH_SEED), 10, CHANGES, act, lasting)


def check_size_limits(job, folder, rng, count):
    """The kernel writes what fits, and then refuses: from a random object on, a random size."""
    for attempt in range(count):
        store = job.prepared(folder / f"{attempt}.zarr")
        limit_bytes = int(2 ** rng.uniform(0, 15))
        fault = draw_fault(rng, job.counts, ("create",), act="limit", limit_bytes=limit_bytes)
        check_refusal(job.interrupt(store, fault), "StorageError")
        job.check_goes_on(store)


def test_files_that_may_not_grow(interrupted, tmp_path):
    check_size_limits(interrupted, tmp_path, generator(0), 5)


@pytest.mark.slow
def test_files_that_may_not_grow_at_random(any_job, tmp_path):
    check_size_limits(any_job, tmp_path, generator(FRESH_SEED), 50)


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    with small_disk(tmp_path_factory.mktemp("disk"), DISK_BYTES) as mounted:
        if mounted is None:
            pytest.skip("mounting isn't allowed here")
        yield mounted


def check_full_disks(job, disk, rng, count):
    """Room for a random share of the store, and for all of it when it is run again."""
    store, ballast = disk.outside / "digits.zarr", disk.outside / "ballast"
    needed = sum(
        -(-path.stat().st_size // PAGE_BYTES) * PAGE_BYTES for path in job.whole.rglob("*")
    )
    for _ in range(count):
        room_bytes = int(rng.uniform(0, 1.1) * needed)
        ballast.write_bytes(bytes(DISK_BYTES - room_bytes))
        outcome = job.interrupt(disk.inside / "digits.zarr", process=disk.process, threads=2)
        check_refusal(outcome, "StorageError")
        assert outcome.error is None or outcome.message.endswith(": the disk is full")
        ballast.unlink()
        job.check_goes_on(store)
        shutil.rmtree(store)


def test_disks_that_run_full(interrupted, disk):
    check_full_disks(interrupted, disk, generator(0), 4)


@pytest.mark.slow
def test_disks_that_run_full_at_random(interrupted, disk):
    check_full_disks(interrupted, disk, generator(FRESH_SEED), 60)


def check_failing_reads(job, rng, count, lasting):
    arguments = {"path": str(job.whole), "device": "cpu"}
    roots = [str(job.whole)]
    calm = job.process("read", arguments, roots)
    assert calm.result == reading(job.whole)
    for _ in range(count):
        fault = draw_fault(rng, calm.counts, act=BROKEN, lasting=lasting)
        outcome = job.process("read", arguments, roots, fault)
        check_refusal(outcome, "StorageError")
        assert (outcome.error is None) == (outcome.result == calm.result)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_a_store_on_a_broken_disk(lasting, interrupted):
    check_failing_reads(interrupted, generator(lasting), 5, lasting)


@pytest.mark.slow
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_a_store_on_a_broken_disk_at_random(lasting, interrupted):
    check_failing_reads(interrupted, generator(FRESH_SEED), 100, lasting)
