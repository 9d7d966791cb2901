"""Runs jobs in forked children that are killed, or whose operating system fails, when it is told.

A request is a line of JSON on standard input: the arguments of `answer`. The answer is a line of
JSON: the child's wait status and, unless it was killed, its error, and how many operations of each
kind it did. Nothing of the engine is replaced: most operations Python reports of itself (audit
events), the others are reported by wrappers around the interpreter's own functions. Files take at
most half of what a write asks for, so that every object is written by many short writes.
"""

import contextlib
import hashlib
import io
import itertools
import json
import os
import resource
import select
import signal
import sys
from collections import Counter

import numpy as np
import onnxruntime  # noqa: F401 - loaded once, here, and not in every child
import zarr.codecs  # noqa: F401

import engine
import engine.jobs.compress
from engine.runtime.error_statistics import error_statistics

KINDS = {
    "os.rename": "rename",
    "os.mkdir": "mkdir",
    "os.remove": "remove",
    "os.rmdir": "rmdir",
    "os.scandir": "list",
    "os.listdir": "list",
    "os.fsync": "sync",
    "os.stat": "stat",
    "fcntl.flock": "lock",
    "mmap.__new__": "map",
    "file.write": "write",
    "file.read": "read",
}
CREATES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def main():
    error_statistics(np.zeros((1, 1), "f4"), np.zeros((1, 1), "u1"), np.zeros(1), np.zeros(1))
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)


def answer(call, arguments, roots, fault, kill_after_s):
    """Make a call in a child, and tell how that went."""
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            report = run(call, arguments, Faults(roots, **fault))
            os.write(telling, json.dumps(report).encode())
        finally:
            os._exit(0)
    os.close(telling)
    with os.fdopen(told, "rb") as report:
        if kill_after_s is not None:
            select.select([report], [], [], kill_after_s)
            os.kill(child, signal.SIGKILL)
        answered = json.loads(report.read() or "{}")
    return answered | {"status": os.waitpid(child, 0)[1]}


def run(call, arguments, faults):
    faults.install()
    report = {}
    try:
        report["result"] = CALLS[call](**arguments)
    except Exception as error:
        report |= {"error": type(error).__name__, "message": str(error)}
    return report | {"counts": faults.counts}


def compress(**arguments):
    return engine.compress(**arguments).samples_written


def read(**arguments):
    with engine.open(**arguments) as store:
        samples = np.asarray(store)
    return [samples.dtype.str, list(samples.shape), hashlib.sha256(samples).hexdigest()]


CALLS = {"compress": compress, "read": read}


class Faults:
    """Counts the operations below `roots`; at the `at`-th of `kinds` it acts, 0 for never.

    `act` is `kill`, an errno to fail with, or `limit`: no file may grow beyond `limit_bytes` from
    then on. `lasting` faults happen again at every later operation of these kinds.
    """

    def __init__(self, roots, kinds=(), at=0, act="kill", lasting=False, limit_bytes=0):
        self.counts = Counter()
        self._roots, self._kinds = tuple(roots), kinds
        self._at, self._lasting = at, lasting
        self._act, self._limit_bytes = act, limit_bytes
        self._matching = itertools.count(1)

    def install(self):
        io.open = self._announced_open(io.open)
        os.fsync = announced(os.fsync, "os.fsync")
        os.stat = announced(os.stat, "os.stat")
        os.pread = announced(os.pread, "file.read")
        sys.addaudithook(self._hook)

    def _hook(self, event, arguments):
        kind = KINDS.get(event)
        if event == "open":
            kind = "create" if arguments[2] & CREATES else "open"
        if kind is None or not self._concerns(arguments[0]):
            return
        self.counts[kind] += 1
        if kind in self._kinds and self._at:
            done = next(self._matching)
            if done == self._at or (self._lasting and done > self._at):
                self._fail()

    def _concerns(self, path):
        """Whether it lies below a root, as descriptors and what is relative to one always do."""
        if isinstance(path, int):
            return path >= 0
        path = os.fsdecode(path)
        return not path.startswith("/") or path.startswith(self._roots)

    def _fail(self):
        if self._act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._act == "limit":
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._limit_bytes, hard))
            return
        raise OSError(self._act, os.strerror(self._act))

    def _announced_open(self, real_open):
        def open_file(
            file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **options
        ):
            if "b" not in mode or not self._concerns(file):
                return real_open(file, mode, buffering, encoding, errors, newline, **options)
            raw = AnnouncedFile(file, mode.replace("b", ""), **options)
            if buffering == 0:
                return raw
            return io.BufferedWriter(raw) if raw.writable() else io.BufferedReader(raw)

        return open_file


class AnnouncedFile(io.FileIO):
    """A file that reports reads and writes, and writes half of what it is given."""

    def write(self, content):
        sys.audit("file.write", self.name)
        content = memoryview(content).cast("B")
        return super().write(content[: -(-len(content) // 2)])

    def readinto(self, buffer):
        sys.audit("file.read", self.name)
        return super().readinto(buffer)

    def readall(self):
        sys.audit("file.read", self.name)
        return super().readall()


def announced(function, event):
    def announcing(target, *more, **options):
        sys.audit(event, target)
        return function(target, *more, **options)

    return announcing


with contextlib.suppress(KeyboardInterrupt):
    main()
