"""Runs compress jobs in forked children that kill themselves before their n-th file operation.

Each line of standard input is the JSON of `engine.compress`'s arguments and `kill_at`, 0 for never;
each is answered by a line with the number of file operations and the child's wait status. The child
only counts what Python reports of itself (audit events); nothing of the engine is replaced.
"""

import json
import mmap
import os
import signal
import struct
import sys

import numpy as np
import onnxruntime  # noqa: F401 - loaded once, here, and not in every child
import zarr.codecs  # noqa: F401

import engine
import engine.jobs.compress
from engine.runtime.error_statistics import error_statistics

CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir")


def main():
    error_statistics(np.zeros((1, 1), "f4"), np.zeros((1, 1), "u1"), np.zeros(1), np.zeros(1))
    operations = mmap.mmap(-1, 8)
    for line in sys.stdin:
        operations[:] = struct.pack("<q", 0)
        child = os.fork()
        if child == 0:
            run(operations, **json.loads(line))
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        print(*struct.unpack("<q", operations), status, flush=True)


def run(operations, kill_at, store, data, labels, **options):
    def count(event, arguments):
        if event in CHANGES or (event == "open" and str(arguments[0]).startswith(store)):
            (done,) = struct.unpack("<q", operations)
            operations[:] = struct.pack("<q", done + 1)
            if done + 1 == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        engine.compress(np.load(data), store, sidecars={"label": np.load(labels)}, **options)
    except engine.EngineError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)


main()
