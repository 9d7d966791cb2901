"""Opens codecs that are attacks, in a process that may allocate little and open nothing outside.

`python run_attacks.py FOLDER ALLOWED_BYTES`: a list of codec folders in JSON comes on stdin, what
became of each goes to stdout. Anything but an error of the engine ends the process.
"""

import json
import os
import resource
import sys
from pathlib import Path

import numpy as np
import onnx.reference
import onnxruntime

from engine import Codec
from engine.errors import EngineError
from engine.runtime.session import Network


def main():
    root, allowed_bytes = sys.argv[1], int(sys.argv[2])
    folders = json.load(sys.stdin)
    Codec.load(folders[0], "cpu").decode(np.zeros((1, 8), np.int8))  # loads what is loaded lazily
    limit_memory(allowed_bytes)
    opened = watch_files(root)
    found = [(folder, *outcome(folder), opened.copy()) for folder in folders]
    json.dump(found, sys.stdout)


def watch_files(root):
    """A list that grows by every path that is opened outside of Python and of `root`."""
    opened = []
    program = tuple({sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), root})

    def note(event, arguments):
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith(program):
                opened.append(path)

    sys.addaudithook(note)
    return opened


def limit_memory(allowed_bytes):
    """Let every allocation fail that leads more than `allowed_bytes` above what is in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + allowed_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        bytearray(allowed_bytes + (1 << 20))
    except MemoryError:
        return
    sys.exit("the limit of memory doesn't hold")


def outcome(folder):
    """Type and message of the error that a codec gives when both its graphs are opened."""
    try:
        codec = Codec.load(folder, "cpu")
        networks: list[Network] = [codec.decoder, codec.encoder]
    except EngineError as error:
        return type(error).__name__, str(error)
    return "", f"{len(networks)} networks opened"


if __name__ == "__main__":
    assert onnx.reference and onnxruntime  # imported before memory is limited
    main()
