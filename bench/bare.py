"""The limit of bulk work: `InferenceSession.run` over ready batches, in its best layout."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.timing import Rounds, Work, interleave
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


def bare_runs(
    networks: Sequence[bytes], values: NDArray[Any], batches: Sequence[int] = BATCHES
) -> list[BareRun]:
    """Of each layout of threads the quickest batch size, tried on the first of `values`.

    Which layout is the quicker one takes longer to tell: threads that share a run spin a while
    after it, and slow down what is tried next. So each is to take part in what is measured.
    """
    cores = available_cores()
    return [
        _best_batch(networks, values, batches, callers, threads)
        for callers, threads in sorted({(1, cores), (cores, 1)})
    ]


def _best_batch(
    networks: Sequence[bytes],
    values: NDArray[Any],
    batches: Sequence[int],
    callers: int,
    threads: int,
) -> BareRun:
    sessions = tuple(open_session(content, threads) for content in networks)
    candidates = {str(batch): BareRun(sessions, batch, callers, threads) for batch in batches}
    some = values[: batches[0] * callers]
    began = time.perf_counter()
    candidates[str(batches[0])](some)
    count = int(len(some) * TRIAL_S / (time.perf_counter() - began))
    trial = np.ascontiguousarray(values[: max(count, max(batches) * callers)])
    works = {name: Work(_trying(candidate, trial)) for name, candidate in candidates.items()}
    return candidates[interleave(works, TRIAL_ROUNDS).fastest()]


def _trying(candidate: BareRun, trial: NDArray[Any]) -> Callable[[int], None]:
    return lambda _: candidate(trial)


def bare_works(name: str, runs: Sequence[BareRun], values: NDArray[Any]) -> dict[str, Work]:
    """Each of the runs over all values, to be measured; `fastest_bare` keeps one as `name`."""
    return {f"{name}: {run}": Work(_trying(run, values), len(values)) for run in runs}


def fastest_bare(name: str, rounds: Rounds) -> tuple[Rounds, str]:
    """The rounds with the fastest of the runs called `name` alone, and how that one ran."""
    runs = [work for work in rounds.seconds if work.startswith(f"{name}: ")]
    best = min(runs, key=rounds.median_s)
    seconds = {work: spent for work, spent in rounds.seconds.items() if work not in runs}
    return Rounds({name: rounds.seconds[best], **seconds}), best.removeprefix(f"{name}: ")


def open_session(content: bytes, threads: int) -> Session:
    """A network of a codec at the step 1, with onnxruntime's own defaults but for the threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = next(i.name for i in session.get_inputs() if i.name != "step")
    step = np.ones(1, np.float32)
    return lambda values: session.run(None, {name: values, "step": step})[0]
