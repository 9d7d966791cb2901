"""What threads and networks hold doesn't survive a fork: the child has to begin anew."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
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
    _unlock_cached_properties()
    for holder in list(_known):
        # Never freed: a network would wait for its threads, which only the parent has, for ever.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(holder.begin_anew()))


def _unlock_cached_properties() -> None:
    """Python 3.11 locks one for all objects of its class while a thread, now gone, computes it."""
    package = __name__.partition(".")[0]
    modules = [module for name, module in sys.modules.items() if name.startswith(f"{package}.")]
    kinds = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    for kind in kinds:
        for value in vars(kind).values():
            if isinstance(value, functools.cached_property):
                vars(value)["lock"] = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=no_fork.acquire, after_in_parent=no_fork.release, after_in_child=_begin_anew
    )
