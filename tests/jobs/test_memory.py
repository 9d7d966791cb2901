"""Peak memory of whole processes: ten times the data take at most a tenth more."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SMALL, SLOW = 5_000_000, 30_000_000  # bytes; the large file has ten times as many
ALLOWED = 1.1

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


def peak_memory(job, **arguments):
    command = [sys.executable, Path(__file__).with_name("measured_job.py"), job]
    text = json.dumps({name: str(value) for name, value in arguments.items()})
    return int(subprocess.check_output([*command, text]))


def write(path, rows, size_bytes):
    """Repeat rows into a .npy file of about this size, without ever holding it."""
    count = size_bytes // rows[0].nbytes
    shape = (count, *rows.shape[1:])
    file = np.lib.format.open_memmap(path, "w+", rows.dtype, shape)
    for start in range(0, count, len(rows)):
        file[start : start + len(rows)] = rows[: count - start]


KINDS = {
    "digits": lambda digits: (digits, 32),
    "vectors": lambda digits: (digits.reshape(-1, 784)[:, :384].astype(np.float32), 64),
    "tiny": lambda digits: (digits.reshape(-1, 28)[:, 12:16].astype(np.float32), 4),
}


def check(kind, size_bytes, digits, make_codec, folder):
    """Compress a small and a large file, read their stores, and compare the peaks."""
    rows, latent_dim = KINDS[kind](digits)
    make_codec(rows[::20], latent_dim).save(folder / "a.codec")
    peaks = {}
    for size, count in (("small", size_bytes), ("large", 10 * size_bytes)):
        data, store = folder / f"{size}.npy", folder / f"{size}.zarr"
        write(data, rows, count)
        calls = {
            "compress": {"data": data, "store": store, "codec": folder / "a.codec"},
            "decode": {"store": store, "out": folder / f"{size}.out.npy"},
            "verify": {"store": store, "against": data},
        }
        for job, arguments in calls.items():
            peaks[job, size] = peak_memory(job, **arguments)
        (folder / f"{size}.out.npy").unlink()
    ratios = {job: peaks[job, "large"] / peaks[job, "small"] for job in calls}
    assert max(ratios.values()) <= ALLOWED, (ratios, peaks)


def test_memory_does_not_grow_with_the_data(digits, make_codec, tmp_path):
    check("digits", SMALL, digits, make_codec, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_memory_does_not_grow_with_large_data(kind, digits, make_codec, tmp_path):
    check(kind, SLOW, digits, make_codec, tmp_path)
