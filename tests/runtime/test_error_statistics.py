import importlib.util
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cuda_kernels.error_statistics import reference
from engine.runtime import error_statistics as module
from engine.runtime.error_statistics import error_statistics

INTEGERS = [np.dtype(f"{kind}{size}") for kind in "ui" for size in (1, 2, 4, 8)]
FLOATS = [np.dtype(f"f{size}") for size in (2, 4, 8)]


def measure(implementation, reconstruction, samples):
    results = np.full((2, len(samples)), -1.0)
    implementation(reconstruction, samples, *results)
    return results


def assert_agrees(reconstruction, samples, implementation=error_statistics):
    found = measure(implementation, reconstruction, samples)
    expected = measure(reference.error_statistics, reconstruction, samples)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-12)


@pytest.mark.parametrize("output", ["f4", "f8"])
@pytest.mark.parametrize("dtype", INTEGERS + FLOATS, ids=lambda dtype: dtype.name)
@settings(deadline=None, max_examples=50)  # the first example compiles
@given(data=st.data())
def test_agrees_with_the_reference(dtype, output, data):
    shape = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 40)))
    reconstruction = data.draw(hnp.arrays(output, shape))
    finite = {"allow_nan": False, "allow_infinity": False} if dtype in FLOATS else {}
    samples = data.draw(hnp.arrays(dtype, shape, elements=hnp.from_dtype(dtype, **finite)))
    assert_agrees(reconstruction, samples)


@pytest.mark.parametrize("elements", [0, 1, 7, 784, 1023, 1025, 100_003])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_agrees_at_awkward_sizes(elements, dtype):
    rng = np.random.default_rng(elements)
    samples = rng.integers(0, 100, (5, elements)).astype(dtype)
    assert_agrees((samples + rng.normal(size=samples.shape)).astype(np.float32), samples)


def test_reads_views_and_read_only_arrays():
    samples = np.arange(60, dtype=np.uint8).reshape(6, 10)
    samples.flags.writeable = False
    reconstruction = np.linspace(0, 70, 120, dtype=np.float32).reshape(6, 20)[:, ::2]
    assert_agrees(reconstruction, samples)
    assert_agrees(reconstruction[::2], samples[::2])


def test_shapes_that_disagree_are_refused():
    with pytest.raises(ValueError, match=r"found \(2, 3\), \(2, 4\), \(2,\), \(2,\)"):
        measure(error_statistics, np.zeros((2, 3)), np.zeros((2, 4)))


def test_several_threads_at_once():
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 255, (64, 300, 784), dtype=np.uint8)
    reconstruction = (samples + rng.normal(size=samples.shape[1:])).astype(np.float32)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(measure, [error_statistics] * 64, reconstruction, samples))
    expected = list(map(measure, [error_statistics] * 64, reconstruction, samples))
    np.testing.assert_array_equal(found, expected)


def test_works_where_no_folder_can_hold_the_compiled_code(tmp_path, monkeypatch):
    source = shutil.copy(module.__file__, tmp_path)
    (tmp_path / "__pycache__").touch()
    (tmp_path / "cache").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    spec = importlib.util.spec_from_file_location("unwritable", source)
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    assert_agrees(np.ones((1, 3), np.float32), np.zeros((1, 3), np.uint8), copy.error_statistics)


def test_numba_is_imported_by_the_first_call_only():
    program = (
        "import sys, engine.runtime.error_statistics;"
        "sys.exit(not sys.modules.keys().isdisjoint({'numba', 'torch', 'triton'}))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
