"""Opens codecs and stores that are attacks, where little memory and no file outside may be had.

`python run_attacks.py FOLDER ALLOWED_BYTES`: a list of their folders in JSON comes on stdin, good
ones first; what became of each goes to stdout. Anything but an error of the engine ends the
process.
"""

import gc
import json
import os
import resource
import sys
from pathlib import Path

import numpy as np
import onnx.reference
import onnxruntime
import read_store

from engine import Codec
from engine.errors import EngineError
from engine.runtime.user_cache import cache_folder


def main():
    root, allowed_bytes = sys.argv[1], int(sys.argv[2])
    folders = json.load(sys.stdin)
    for folder in folders:  # loads what is loaded lazily
        if "good" in folder:
            outcomes(folder)
    gc.collect()
    limit_memory(allowed_bytes)
    opened = watch_files(root)
    found = [(folder, outcomes(folder), opened.copy()) for folder in folders]
    json.dump(found, sys.stdout)


def watch_files(root):
    """A list that grows by every path that is opened outside of Python, our cache and `root`."""
    opened = []
    folders = {sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), root}
    program = tuple(folders | {str(cache_folder())})

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
        bytearray(allowed_bytes + (64 << 20))  # threads that ended have left some
    except MemoryError:
        return
    sys.exit("the limit of memory doesn't hold")


def outcomes(folder):
    """Types and messages of the errors that a codec or store gives, however it is read."""
    if folder.endswith(".zarr"):
        return read_store.outcomes(folder)
    try:
        codec = Codec.load(folder, "cpu")
        codec.decode(np.zeros((1, *codec.latent_shape), codec.manifest.latent.dtype))
        codec.encode(np.zeros((1, *codec.sample_shape), codec.dtype))
    except EngineError as error:
        return [(type(error).__name__, str(error))]
    return []


if __name__ == "__main__":
    assert onnx.reference and onnxruntime  # imported before memory is limited
    main()
