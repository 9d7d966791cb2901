"""Keeps other threads off a device while one of them captures a CUDA graph.

onnxruntime captures in CUDA's global mode, in which memory that any other thread allocates, or an
event that it asks about, makes the capture fail:
https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__STREAM.html (cudaStreamCaptureMode).
"""

import contextlib
import threading
from collections.abc import Iterator


class CaptureGate:
    """Lets through any number of threads that work, or a single one that captures."""

    def __init__(self) -> None:
        """Nobody is inside."""
        self._changed = threading.Condition()
        self._working = 0
        self._capturing = False

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Be inside with others that work; waits for one that captures."""
        with self._changed:
            self._changed.wait_for(lambda: not self._capturing)
            self._working += 1
        try:
            yield
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one inside; waits for all others, who let nobody in meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: not self._capturing)
            self._capturing = True
            self._changed.wait_for(lambda: self._working == 0)
        try:
            yield
        finally:
            with self._changed:
                self._capturing = False
                self._changed.notify_all()


GATE = CaptureGate()
"""The one of this process."""
