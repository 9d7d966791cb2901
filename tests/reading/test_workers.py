"""Threads that do work in order: results as asked, the first error, and nothing left running."""

import contextlib
import threading
import time

import pytest

from engine.reading.workers import ALONE, Workers


@pytest.mark.parametrize("workers", [ALONE, Workers(1), Workers(3)], ids=["alone", "one", "three"])
def test_everything_is_done_and_the_first_failure_fails(workers):
    done = []
    workers.each(done.append, list(range(20)))
    assert sorted(done) == list(range(20))

    def fail(item):
        time.sleep(0.02 if item == 2 else 0)
        if item in (2, 3):
            raise ValueError(item)

    with pytest.raises(ValueError, match="2"):
        workers.each(fail, [0, 1, 2, 3, 4])


def test_once_one_fails_no_other_is_begun():
    begun = []

    def work(item):
        begun.append(item)
        time.sleep(0.01)
        if item == 1:
            raise KeyboardInterrupt
        if item == 0:
            raise ValueError(item)

    with pytest.raises(KeyboardInterrupt):
        Workers(2).each(work, list(range(100)))
    count = len(begun)
    assert count <= 4
    time.sleep(0.05)
    assert len(begun) == count


def test_nothing_works_on_where_no_thread_can_be_started(monkeypatch):
    workers, done, submit = Workers(3), [], Workers(3)._pool.submit

    def start_one_only(function):
        if done or workers_started:
            raise RuntimeError("can't start new thread")
        workers_started.append(function)
        return submit(function)

    workers_started = []
    monkeypatch.setattr(workers._pool, "submit", start_one_only)

    def work(item):
        time.sleep(0.01)
        done.append(item)

    with pytest.raises(RuntimeError, match="new thread"):
        workers.each(work, list(range(50)))
    count = len(done)
    assert count <= 2
    time.sleep(0.05)
    assert len(done) == count


def test_results_come_in_order_and_little_is_begun_ahead():
    begun = []

    def work(item):
        begun.append(item)
        time.sleep(0.01 if item % 2 else 0)
        return item

    for result in Workers(2).in_order(work, range(30)):
        assert len(begun) <= result + 4
    assert sorted(begun) == list(range(30))


def test_nothing_works_on_once_the_results_are_not_wanted():
    working, begun = threading.Semaphore(0), []

    def work(item):
        begun.append(item)
        time.sleep(0.02)
        working.release()

    with contextlib.closing(Workers(2).in_order(work, range(100))) as results:
        next(results)
    count = len(begun)
    assert count <= 4
    for _ in range(count):
        assert working.acquire(blocking=False)  # all that was begun has ended
    time.sleep(0.05)
    assert len(begun) == count
