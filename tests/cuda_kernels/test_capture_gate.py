"""Whoever captures is alone, everybody else may work at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

from cuda_kernels.capture_gate import CaptureGate

LONG_S = 10
MOMENT_S = 0.05


def test_threads_work_at_once():
    gate, together = CaptureGate(), threading.Barrier(3)

    def work(_):
        with gate.working():
            together.wait(LONG_S)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))


def test_who_captures_waits_for_those_inside_and_lets_nobody_in():
    gate, entered, captured, came = CaptureGate(), threading.Event(), threading.Event(), []

    def capture():
        entered.set()
        with gate.alone():
            came.append("capture")
            assert not captured.wait(MOMENT_S)
            came.append("captured")

    def work():
        with gate.working():
            came.append("work")
            captured.set()

    with ThreadPoolExecutor(2) as pool:
        with gate.working():
            capturing = pool.submit(capture)
            entered.wait(LONG_S)
            assert not captured.wait(MOMENT_S)  # it is kept waiting as long as this block is open
            came.append("inside")
            working = pool.submit(work)
            assert not captured.wait(MOMENT_S)
        capturing.result(LONG_S)
        working.result(LONG_S)
    assert came == ["inside", "capture", "captured", "work"]


def test_a_failure_leaves_the_gate_open():
    gate = CaptureGate()
    for enter in (gate.working, gate.alone):
        try:
            with enter():
                raise OSError
        except OSError:
            pass
    with gate.alone():
        pass
