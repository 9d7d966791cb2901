"""Runs one job of the engine and prints its peak resident memory in kB: NAME ARGUMENTS."""

import json
import sys
from pathlib import Path

import engine

name, arguments = sys.argv[1], json.loads(sys.argv[2])
getattr(engine, name)(**arguments, device="cpu")
status = Path("/proc/self/status").read_text()
print(status.split("VmHWM:")[1].split()[0])
