"""The limit of bulk work: `InferenceSession.run` over ready batches, in its best layout."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.timing import Work, interleave
from engine.runtime.device import available_cores

BATCHES = (64, 128, 256, 512, 1024)
TRIAL_S = 0.05
TRIAL_ROUNDS = 5

Session = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class BareRun:
    """Networks, one after the other, over batches of ready values; nothing is kept.

    `callers` threads run sessions that work with `threads` threads each.
    """

    sessions: tuple[Session, ...]
    batch: int
    callers: int
    threads: int

    def __call__(self, values: NDArray[Any]) -> None:
        """Run everything `(n, ...)`."""
        if self.callers == 1:
            self._run(values)
            return
        with ThreadPoolExecutor(self.callers) as pool:
            list(pool.map(self._run, np.array_split(values, self.callers)))

    def _run(self, values: NDArray[Any]) -> None:
        for start in range(0, len(values), self.batch):
            result = values[start : start + self.batch]
            for session in self.sessions:
                result = session(result)

    def __str__(self) -> str:
        return f"batch {self.batch}, {self.callers} callers x {self.threads} threads"


def best_bare_run(
    networks: Sequence[bytes], values: NDArray[Any], batches: Sequence[int] = BATCHES
) -> BareRun:
    """The quickest of all batch sizes and layouts, tried on the first of `values`."""
    cores = available_cores()
    candidates = {}
    for callers, threads in {(1, cores), (cores, 1)}:
        sessions = tuple(open_session(content, threads) for content in networks)
        for batch in batches:
            candidate = BareRun(sessions, batch, callers, threads)
            candidates[str(candidate)] = candidate
    some = values[: batches[0] * cores]
    began = time.perf_counter()
    next(iter(candidates.values()))(some)
    count = int(len(some) * TRIAL_S / (time.perf_counter() - began))
    trial = np.ascontiguousarray(values[: max(count, max(batches) * cores)])
    works = {name: Work(_trying(candidate, trial)) for name, candidate in candidates.items()}
    return candidates[interleave(works, TRIAL_ROUNDS).fastest()]


def _trying(candidate: BareRun, trial: NDArray[Any]) -> Callable[[int], None]:
    return lambda _: candidate(trial)


def open_session(content: bytes, threads: int) -> Session:
    """A network of a codec at the step 1, with onnxruntime's own defaults but for the threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = next(i.name for i in session.get_inputs() if i.name != "step")
    step = np.ones(1, np.float32)
    return lambda values: session.run(None, {name: values, "step": step})[0]
