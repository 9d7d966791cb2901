"""`python -m bench` lists the benchmarks, `python -m bench NAME` runs one and records it."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.machine import describe_machine
from engine.errors import EngineError

BENCHMARKS = (
    "bulk", "decode", "random", "memory", "open", "kernels", "entropy", "contexts", "guarantee",
    "latents", "quality", "gpu",
)  # fmt: skip
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run the benchmark that the command line names; one that can't run here says why."""
    modules = {name: importlib.import_module(f"bench.{name}") for name in BENCHMARKS}
    if len(sys.argv) != 2 or sys.argv[1] not in modules:
        print("python -m bench NAME, where NAME is one of:")
        for name, module in modules.items():
            print(f"  {name:9}  {(module.__doc__ or '').splitlines()[0]}")
        return 0 if len(sys.argv) == 1 else 2
    name = sys.argv[1]
    try:
        path = run_and_record(name, modules[name].run, RESULTS)
    except EngineError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    print(f"\nrecorded in {path}")
    return 0


def run_and_record(name: str, run: Callable[[], dict[str, Any]], folder: Path) -> Path:
    """Run a benchmark; what it found, on which machine, and how long it took become a JSON file."""
    began = time.perf_counter()
    record = {
        "benchmark": name,
        "result": run(),
        "machine": describe_machine(),
        "elapsed_s": round(time.perf_counter() - began),
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main())
