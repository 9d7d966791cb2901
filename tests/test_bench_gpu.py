"""The benchmark of a GPU runs on the CPU, too, where it says nothing about speed."""

import json
import subprocess
import sys

import numpy as np
import pytest

from bench import gpu
from bench.gpu_checks import check_store, run_checks
from engine.errors import DeviceUnavailable

from .devices import NO_GPU, needs_gpu

pytest.importorskip("torch")

TINY = {"checked": 100, "batches": (16, 32), "copied_bytes": 1 << 12, "kernel_samples": 3}


def check_result(result, codecs):
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert next(iter(result)) == "ratios"
    assert list(result["ratios"]) == codecs
    measured = [found["measured"] for own in result["ratios"].values() for found in own.values()]
    assert len(measured) == 8 * len(codecs)
    assert np.isfinite(measured).all() and min(measured) > 0
    failed = [name for name, found in result["checks"].items() if not found["passed"]]
    assert failed == []
    assert result["all_checks_passed"]
    assert len(result["kernels"]) == 12


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["dense", "conv"])
def test_everything_runs_at_a_tiny_size(codec):
    check_result(gpu.run({codec: 200}, "cpu", runs=1, reads=2, **TINY), [codec])


@needs_gpu
@pytest.mark.slow
def test_a_gpu_gives_what_the_cpu_gives_and_keeps_every_promise():
    check_result(gpu.run({"dense": 20_000, "conv": 5000}, runs=1, reads=2), ["dense", "conv"])


@pytest.mark.skipif(NO_GPU is None, reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    with pytest.raises(DeviceUnavailable, match="of a GPU, and nothing is recorded: no NVIDIA"):
        gpu.run()


def test_a_check_that_fails_is_told_from_one_that_passes(digits, digits_codec, tmp_path):
    def broken():
        digits_codec.on("cpu").encode(digits[:3].astype(float))

    found = run_checks(
        {
            "good": lambda: check_store(
                digits_codec, digits[:50], "cpu", tmp_path / "it.zarr", {"max_error": 3}
            ),
            "bad": broken,
        }
    )
    assert found["good"]["passed"]
    assert found["good"]["max_abs_error"] <= 3
    assert not found["bad"]["passed"]
    assert "uint8" in found["bad"]["found"]


def test_listing_the_benchmarks_imports_no_torch():
    code = "import bench.gpu, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
