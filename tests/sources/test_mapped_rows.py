"""Reading a file ten times as large takes no more memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.sources import open_source

SAMPLE = (16, 64)  # 1 KiB
PROGRAM = """
import sys
import numpy as np
from engine.sources import open_source

path, memory_map = sys.argv[1:]
with open_source(np.load(path, mmap_mode="r") if memory_map else path) as source:
    for start in range(0, len(source), 1024):
        source.read(start, min(start + 1024, len(source))).max()
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")


def peak_kib(path, memory_map=""):
    # Not ru_maxrss: a child inherits that of the process which started it.
    command = [sys.executable, "-c", PROGRAM, str(path), memory_map]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def sparse_npy(path, rows, *, fortran_order=False):
    header = {"descr": "|u1", "fortran_order": fortran_order, "shape": (rows, *SAMPLE)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + rows * 1024)
    return path


def sparse_npz(path, rows):
    np.savez(path, np.zeros((rows, *SAMPLE), np.uint8))
    return path.with_suffix(".npz")


def deflated_npz(path, rows):
    np.savez_compressed(path, np.zeros((rows, *SAMPLE), np.uint8))
    return path.with_suffix(".npz")


def fortran_npy(path, rows):
    return sparse_npy(path, rows, fortran_order=True)


@needs_proc
@pytest.mark.parametrize(
    ("write", "rows", "memory_map"),
    [
        (sparse_npy, 400_000, ""),
        (sparse_npy, 100_000, "memory map"),
        (fortran_npy, 50_000, ""),
        (sparse_npz, 50_000, ""),
        (deflated_npz, 40_000, ""),
    ],
)
def test_peak_memory_does_not_grow_with_the_file(tmp_path, write, rows, memory_map):
    small = peak_kib(write(tmp_path / "small", rows // 10), memory_map)
    large = peak_kib(write(tmp_path / "large", rows), memory_map)
    assert large <= 1.1 * small


@needs_proc
def test_sources_left_open_close_themselves(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 2)))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        open_source(tmp_path / "x.npy").read(0, 1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
