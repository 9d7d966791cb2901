"""Repairs stores in forked children that kill themselves before a given change to the file system.

Arguments: the data, the codec, and JSON of `[[store, change], ...]`; prints JSON of each child's
wait status and number of changes. Change 0 never comes.
"""

import json
import os
import signal
import sys

import numpy as np

import engine
import engine.jobs.repair
from engine.runtime.error_statistics import error_statistics

CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir"}


def main(data, codec, repairs):
    error_statistics(np.zeros((1, 1), "f4"), np.zeros((1, 1), "u1"), np.zeros(1), np.zeros(1))
    print(json.dumps([repaired(data, codec, *repair) for repair in json.loads(repairs)]))


def repaired(data, codec, store, kill_at):
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            changes = count_changes(store, kill_at)
            engine.repair(store, data, codec=codec, device="cpu")
            os.write(telling, str(changes[0]).encode())
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    os.close(telling)
    with os.fdopen(told) as report:
        changes = int(report.read() or "0")
    return os.waitpid(child, 0)[1], changes


def count_changes(store, kill_at):
    changes = [0]

    def hook(event, arguments):
        creates = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        below = arguments and str(arguments[0]).startswith(store)
        if (creates or event in CHANGES) and below:
            changes[0] += 1
            if changes[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return changes


if __name__ == "__main__":
    main(*sys.argv[1:])
