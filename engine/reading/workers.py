"""Threads that read and decode: started when needed, gone with whoever holds them."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Alone:
    """The calling thread does all the work."""

    count = 1

    def each(self, function: Callable[[Item], object], items: list[Item]) -> None:
        """Call `function` with every item; the first of them that fails, fails."""
        for item in items:
            function(item)


ALONE = Alone()


class Workers(Alone):
    """`count` threads; what they do must not wait for them again."""

    def __init__(self, count: int) -> None:
        """Start nothing yet."""
        self.count = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="engine-reading")

    def each(self, function: Callable[[Item], object], items: list[Item]) -> None:
        """Call `function` with every item, several at once; the first that fails, fails.

        The calling thread works, too: one that woke for every item would take a core from the
        others each time.
        """
        failures: dict[int, BaseException] = {}
        waiting = iter(enumerate(items))  # which threads may share

        def begin_no_more() -> None:
            collections.deque(waiting, maxlen=0)

        def work() -> None:
            for place, item in waiting:
                try:
                    function(item)
                except BaseException as error:
                    failures[place] = error
                    begin_no_more()

        helpers: list[Future[None]] = []
        try:
            for _ in range(min(self.count, len(items)) - 1):
                helpers.append(self._pool.submit(work))
            work()
        finally:
            begin_no_more()
            wait([helper for helper in helpers if not helper.cancel()])
        try:
            if failures:  # an interruption before all errors
                raise min(failures.items(), key=lambda at: (isinstance(at[1], Exception), at[0]))[1]
        finally:
            failures.clear()  # they hold frames that hold them

    def in_order(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Generator[Result, None, None]:
        """Results of `function` in the order of `items`, one more begun than there are threads.

        Whoever stops early waits for what was begun: nothing works on when the iterator is closed.
        """
        waiting, begun = iter(items), collections.deque[Future[Result]]()
        try:
            for item in itertools.islice(waiting, self.count + 1):
                begun.append(self._pool.submit(function, item))
            while begun:
                yield begun[0].result()
                begun.popleft()
                for item in itertools.islice(waiting, 1):
                    begun.append(self._pool.submit(function, item))
        finally:
            for future in begun:
                future.cancel()
            wait(begun)
