"""What threads and networks hold doesn't survive a fork: the child has to begin anew."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something that holds threads, locks or networks."""

    def begin_anew(self) -> object:
        """Forget them, as the child of a fork must; return them."""


no_fork = threading.RLock()
"""Held where a fork by another thread would leave libraries locked for ever in the child."""

_known: weakref.WeakSet[Forkable] = weakref.WeakSet()


def survive_forks(holder: Forkable) -> None:
    """Let `holder` begin anew in every child that this process forks."""
    _known.add(holder)


def _begin_anew() -> None:
    no_fork.release()
    for holder in list(_known):
        # Never freed: a network would wait for its threads, which only the parent has, for ever.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(holder.begin_anew()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=no_fork.acquire, after_in_parent=no_fork.release, after_in_child=_begin_anew
    )
