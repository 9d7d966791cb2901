"""`python -m bench` lists the benchmarks, `python -m bench NAME` runs one and records it."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from bench.machine import describe_machine

BENCHMARKS = ("bulk", "guarantee", "latents")
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run the benchmark that the command line names."""
    modules = {name: importlib.import_module(f"bench.{name}") for name in BENCHMARKS}
    if len(sys.argv) != 2 or sys.argv[1] not in modules:
        print("python -m bench NAME, where NAME is one of:")
        for name, module in modules.items():
            print(f"  {name:9}  {(module.__doc__ or '').splitlines()[0]}")
        return 0 if len(sys.argv) == 1 else 2
    name = sys.argv[1]
    result = modules[name].run()
    record = {"benchmark": name, "machine": describe_machine(), "result": result}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"recorded in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
