"""The lanes of a device hand Triton's kernels what they take, and get what Numba's loops give."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from engine.runtime import device_kernels
from engine.runtime.device_kernels import kernels_on, lacks_kernels

from ..laws import in_threads
from .interpreted_lanes import everything

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "dtype", ["u1", "f4", *(pytest.param(d, marks=pytest.mark.slow) for d in ("i2", "u4", "f8"))]
)
def test_kernels_of_a_gpu_give_the_same_in_the_interpreter(make_codec, tmp_path, dtype):
    pytest.importorskip("triton")
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    samples = (rng.normal(size=(19, 3, 7)) * 20 + 60).clip(0, 120).astype(dtype)
    codec = make_codec(samples, 4)
    codec.save(tmp_path / "it.codec")
    np.save(tmp_path / "samples.npy", samples)
    paths = [tmp_path / name for name in ("it.codec", "samples.npy", "found.npz")]
    subprocess.run(
        [sys.executable, "-m", "tests.runtime.interpreted_lanes", *paths],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        cwd=ROOT,
        check=True,
    )
    with np.load(paths[-1]) as results:
        found = [results[name] for name in results.files]
    expected = everything(codec, samples)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        if one.dtype == np.float64 and one.ndim == 1:  # sums are taken in another order
            np.testing.assert_allclose(one, other, rtol=1e-12)
        else:
            np.testing.assert_array_equal(one, other)


def test_launches_of_several_threads_take_turns():
    running, most, start = [], [], threading.Barrier(4)

    def launcher(number):
        running.append(number)
        time.sleep(0.001)
        most.append(len(running))
        running.remove(number)

    def launch(number):
        start.wait(60)
        for _ in range(20):
            device_kernels._one_at_a_time(launcher)(number)

    in_threads(launch, range(4))
    assert len(most) == 80
    assert max(most) == 1


def test_without_torch_there_are_no_kernels(tmp_path):
    """As on a machine with CUDA that onnxruntime alone was installed on."""
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')\n")
    code = (
        "from engine.runtime.device_kernels import lacks_kernels as lacks\n"
        "import sys; sys.exit(not (lacks('cuda') and lacks('cpu')))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_the_cpu_needs_no_more_than_torch():
    pytest.importorskip("torch")
    assert not lacks_kernels("cpu")
    assert all(map(callable, kernels_on("cpu")))
