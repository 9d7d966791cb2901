"""Opens and runs graphs that passed the check, in a process that may allocate little.

`python run_graphs.py FOLDER ALLOWED_BYTES`: every model of the folder. A runtime may refuse one;
that it fails for want of memory, or ends the process, is what must not be.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.errors import EngineError
from engine.runtime.session import Network
from tests.attacks.run_attacks import limit_memory


def main():
    models = sorted(Path(sys.argv[1]).glob("*.onnx"))
    for path in models:
        outcome(path.read_bytes(), path.name)  # loads what is loaded lazily
        break
    limit_memory(int(sys.argv[2]))
    for path in models:
        outcome(path.read_bytes(), path.name)
    print(f"{len(models)} graphs")


def outcome(content, name):
    print(name, flush=True)
    try:
        network = Network(content, "cpu", threads=1)
        for samples in (1, 3):
            latents = np.full((samples, 8), -127, np.int8)
            network(latents, np.ones(1, np.float32))
    except EngineError as error:
        if "alloc" in str(error).lower():
            raise


if __name__ == "__main__":
    main()
