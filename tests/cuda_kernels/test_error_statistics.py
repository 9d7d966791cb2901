import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuda_kernels.error_statistics import reference

INTEGERS = [np.dtype(f"{kind}{size}") for kind in "ui" for size in (1, 2, 4, 8)]
FLOATS = [np.dtype(f"f{size}") for size in (2, 4, 8)]
OUTPUTS = [np.dtype("f4"), np.dtype("f8")]
AWKWARD = [np.nan, np.inf, -np.inf, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 65519.0, 65520.0, 1e300]
AWKWARD += [sign * 2.0**power for sign in (-1, 1) for power in (7, 8, 15, 16, 31, 32, 63, 64)]
AWKWARD += [2.0**51 + 0.5, 2.0**51 + 1.5, 2.0**52 + 1, -(2.0**51) - 0.5, 2.0**31 - 0.5]
ELEMENTS = (0, 1, 1023, 1025, 2500)
CASES = list(itertools.product(OUTPUTS, INTEGERS + FLOATS, ELEMENTS))


def name_of(value):
    return getattr(value, "name", str(value))


def make_case(output, dtype, elements):
    """One sample of awkward values, two of ordinary ones whose errors are finite."""
    rng = np.random.default_rng(elements)
    if dtype in FLOATS:
        samples = (rng.normal(size=(3, elements)) * 100).astype(dtype)
    else:
        limits = np.iinfo(dtype)
        samples = rng.integers(limits.min, limits.max, (3, elements), dtype, endpoint=True)
        samples[:, :1], samples[:, -1:] = limits.min, limits.max
    spread = 1 + rng.normal(size=samples.shape) * 0.01
    reconstruction = (samples.astype(np.float64) * spread).astype(output)
    with np.errstate(over="ignore"):
        reconstruction[0] = np.resize(AWKWARD, elements).astype(output)
    return reconstruction, samples


def measure(implementation, reconstruction, samples):
    results = np.full((2, len(samples)), -1.0)
    implementation(reconstruction, samples, *results)
    return results


def assert_same(found, expected, dtype):
    np.testing.assert_array_equal(found[0], expected[0])
    rtol = 0 if dtype.kind in "ui" and dtype.itemsize <= 2 else 1e-12
    np.testing.assert_allclose(found[1][1:], expected[1][1:], rtol=rtol)
    np.testing.assert_allclose(found[1][0], expected[1][0], rtol=1e-12)


@pytest.mark.parametrize("dtype", INTEGERS, ids=name_of)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_finish_rounds_half_to_even_and_clips(dtype, value):
    limits = np.iinfo(dtype)
    nearest = min(max(round(value), limits.min), limits.max)
    finished = int(reference.finish(np.array([value]), dtype)[0])
    assert finished == nearest or finished == np.nextafter(float(limits.max), 0) < value


@pytest.mark.parametrize("output", OUTPUTS, ids=name_of)
@pytest.mark.parametrize("dtype", INTEGERS, ids=name_of)
def test_finish_keeps_what_is_not_finite_in_range(dtype, output):
    low, high = reference.clip_range(dtype)
    finished = reference.finish(np.array([[-np.inf, np.inf, np.nan]], output), dtype)
    assert finished.dtype == dtype
    assert finished.tolist() == [[int(low), int(high), 0]]


def test_finish_saturates_at_the_largest_int32_though_float32_rounds_it_up():
    finished = reference.finish(np.array([2.0**31, 3e9], np.float32), np.dtype("i4"))
    assert finished.tolist() == [2**31 - 1, 2**31 - 1]


def test_finish_casts_to_a_float_dtype():
    finished = reference.finish(np.array([1e300, -1e300, 0.1, np.nan]), np.dtype("f4"))
    np.testing.assert_array_equal(finished, np.array([np.inf, -np.inf, 0.1, np.nan], np.float32))


@pytest.mark.parametrize("dtype", ["?", "c8", "M8[s]"])
def test_finish_refuses_other_dtypes(dtype):
    with pytest.raises(ValueError, match=r"dtype|data type"):
        reference.finish(np.zeros(3), np.dtype(dtype))


def test_statistics_of_a_sample_worked_by_hand():
    reconstruction = np.array([[0.5, 1.5, 300.0, -7.0]], np.float32)  # read as 0, 2, 255, 0
    samples = np.array([[0, 0, 255, 3]], np.uint8)
    assert measure(reference.error_statistics, reconstruction, samples).tolist() == [[3], [13]]


def test_a_nan_error_is_not_hidden():
    samples = np.zeros((1, 3))
    reconstruction = np.array([[1.0, np.nan, np.inf]])
    assert np.isnan(measure(reference.error_statistics, reconstruction, samples)).all()


@pytest.mark.parametrize("shape", [(0, 5), (4, 0)])
def test_nothing_to_measure(shape):
    results = measure(reference.error_statistics, np.zeros(shape), np.zeros(shape, np.uint8))
    np.testing.assert_array_equal(results, np.zeros((2, shape[0])))


def test_shapes_that_disagree_are_refused():
    with pytest.raises(ValueError, match=r"found \(2, 3\), \(2, 4\), \(2,\), \(2,\)"):
        measure(reference.error_statistics, np.zeros((2, 3)), np.zeros((2, 4)))


def test_the_reference_needs_numpy_alone():
    program = (
        "import sys, cuda_kernels.error_statistics.reference;"
        "sys.exit(not sys.modules.keys().isdisjoint({'engine', 'numba', 'torch', 'triton'}))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    """What the kernel returns for each case in Triton's interpreter."""
    pytest.importorskip("triton")
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("interpreter")
    arrays = {}
    for index, case in enumerate(CASES):
        arrays[f"{index}.reconstruction"], arrays[f"{index}.samples"] = make_case(*case)
    np.savez(folder / "cases.npz", **arrays)
    script = Path(__file__).with_name("interpret_error_statistics.py")
    subprocess.run(
        [sys.executable, script, folder / "cases.npz", folder / "results.npz"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        check=True,
    )
    with np.load(folder / "results.npz") as results:
        return dict(results)


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: "-".join(map(name_of, CASES[i])))
def test_the_interpreted_kernel_agrees_with_the_reference(case, interpreted):
    expected = measure(reference.error_statistics, *make_case(*CASES[case]))
    assert_same(interpreted[str(case)], expected, CASES[case][1])


@pytest.fixture
def compile_kernel(tmp_path, monkeypatch):
    """Compiles the kernel afresh, for which Triton needs no GPU."""
    triton = pytest.importorskip("triton")
    from triton._utils import canonicalize_dtype
    from triton.backends.compiler import GPUTarget

    from cuda_kernels.error_statistics import kernel

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))

    def compile_for(capability, output, dtype):
        low, high = reference.clip_range(dtype)
        constants = {"low": low, "high": high, "block": kernel.BLOCK_ELEMENTS}
        signature = {
            "reconstruction": f"*{canonicalize_dtype(output)}",
            "samples": f"*{canonicalize_dtype(dtype)}",
            "max_abs_error": "*fp64",
            "sum_squared_error": "*fp64",
            "elements": "i64",
            **dict.fromkeys(constants, "constexpr"),
        }
        source = triton.compiler.ASTSource(kernel.error_statistics_kernel, signature, constants)
        target = GPUTarget("cuda", capability, 32)
        return triton.compile(source, target=target, options={"enable_fp_fusion": False}).asm

    return compile_for


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS, ids=name_of)
@pytest.mark.parametrize("capability", [80, 90])
def test_the_kernel_compiles_without_a_gpu(capability, dtype, compile_kernel):
    compiled = compile_kernel(capability, OUTPUTS[0], dtype)
    assert compiled["cubin"].startswith(b"\x7fELF")
    assert f".target sm_{capability}" in compiled["ptx"]
    assert ".local" not in compiled["ptx"]


def test_the_compiler_keeps_the_steps_that_round(compile_kernel):
    integer = compile_kernel(90, OUTPUTS[1], np.dtype("u4"))["ptx"]
    assert integer.index("0d4330000000000000") < integer.index("0dC330000000000000")  # +- 2**52
    assert "0d41EFFFFFFFE00000" in integer  # 2**32 - 1, not 2**32
    assert "fma" not in integer
    half = compile_kernel(90, OUTPUTS[1], np.dtype("f2"))["ptx"]
    assert "cvt.rn.f16.f64" in half  # in one step: by way of float32 it would round twice


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS, ids=name_of)
@pytest.mark.parametrize("output", OUTPUTS, ids=name_of)
def test_the_kernel_on_a_gpu_agrees_with_the_reference(output, dtype):
    torch = pytest.importorskip("torch")
    pytest.importorskip("triton")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    from cuda_kernels.error_statistics import kernel

    for elements in (*ELEMENTS, 1_000_003):
        reconstruction, samples = make_case(output, dtype, elements)
        results = torch.full((2, len(samples)), -1.0, dtype=torch.float64, device="cuda")
        arrays = [torch.from_numpy(array).cuda() for array in (reconstruction, samples)]
        kernel.error_statistics(*arrays, *results)
        expected = measure(reference.error_statistics, reconstruction, samples)
        assert_same(results.cpu().numpy(), expected, dtype)
