"""Libraries kept from printing what the user can't act on."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.RLock()


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Drop warnings, and what `loggers` say below an error, while the block runs.

    Both settings belong to the whole process, so one block runs at a time.
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        levels = {name: logging.getLogger(name).level for name in loggers}
        try:
            for name in loggers:
                logging.getLogger(name).setLevel(logging.ERROR)
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
