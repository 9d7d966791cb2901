import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuda_kernels.error_statistics import reference

from .awkward_arrays import (
    ELEMENTS,
    FLOATS,
    INTEGERS,
    OUTPUTS,
    assert_same_samples,
    make_case,
    name_of,
)
from .compilation import Placeholder, assert_sane, compile_launch, in_quick_tests, launched_by
from .launches import interpret, launch_on_gpu

CASES = list(itertools.product(OUTPUTS, INTEGERS + FLOATS, ELEMENTS))
# 65,536 to a multiprocessor: 32 leave room for all of its 2,048 threads, 64 for half of them
MOST_REGISTERS = {"finish": 32, "error_statistics": 64}


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


def test_shapes_that_disagree_are_refused_before_a_launch():
    pytest.importorskip("triton")
    from cuda_kernels.error_statistics import kernel

    for launcher in ("finish", "error_statistics"):
        arguments = placeholders(launcher, OUTPUTS[0], OUTPUTS[0], (4, 5))
        arguments[0] = Placeholder((4, 6), OUTPUTS[0])
        with pytest.raises(ValueError, match=r"found \(4, 6\), \(4, 5\)"):
            getattr(kernel, launcher)(*arguments)


def launches(output, dtype, elements):
    """A call of each launcher: its name and its arguments, results last."""
    reconstruction, samples = make_case(output, dtype, elements)
    results = np.full((2, len(samples)), -1.0)
    return [
        ("finish", [reconstruction, np.full_like(samples, 99)]),
        ("error_statistics", [reconstruction, samples, *results]),
    ]


def assert_agrees_with_the_reference(results, output, dtype, elements):
    (reconstruction, finished), (_, _, *statistics) = results
    assert_same_samples(finished, reference.finish(reconstruction, dtype))
    case = make_case(output, dtype, elements)
    assert_same(statistics, measure(reference.error_statistics, *case), dtype)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    """What the launchers return for each case in Triton's interpreter."""
    named = {
        f"{case}.{position}": call
        for case, arguments in enumerate(CASES)
        for position, call in enumerate(launches(*arguments))
    }
    named["any shape"] = ("finish", [np.full((2, 3, 5), 2.5), np.zeros((2, 3, 5), np.uint8)])
    return interpret(tmp_path_factory.mktemp("interpreter"), named)


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: "-".join(map(name_of, CASES[i])))
def test_the_interpreted_kernels_agree_with_the_reference(case, interpreted):
    results = [interpreted[f"{case}.{position}"] for position in range(2)]
    assert_agrees_with_the_reference(results, *CASES[case])


def test_the_interpreted_kernel_finishes_any_shape(interpreted):
    np.testing.assert_array_equal(interpreted["any shape"][1], np.full((2, 3, 5), 2, np.uint8))


def placeholders(launcher, output, dtype, shape=(4096, 784)):
    """The arguments of a launch that goes no further than the compiler."""
    row = Placeholder(shape[:1], np.dtype("f8"))
    results = [] if launcher == "finish" else [row, row]
    return [Placeholder(shape, output), Placeholder(shape, dtype), *results]


def compiled(launcher, capability, *arguments):
    pytest.importorskip("triton")
    from cuda_kernels.error_statistics import kernel

    found = compile_launch(
        capability, getattr(kernel, launcher), *placeholders(launcher, *arguments)
    )
    assert_sane(found, capability, MOST_REGISTERS[launcher])
    return found


@pytest.mark.parametrize("launcher", MOST_REGISTERS)
@pytest.mark.parametrize(("capability", "dtype"), in_quick_tests(INTEGERS + FLOATS))
def test_the_kernels_compile_without_a_gpu(capability, dtype, launcher):
    output = OUTPUTS[dtype.itemsize == 8]
    compiled(launcher, capability, output, dtype)


@pytest.mark.parametrize("launcher", MOST_REGISTERS)
@pytest.mark.parametrize("elements", [64, 729, 1_000_000])
def test_the_kernels_compile_for_samples_of_any_size(elements, launcher):
    compiled(launcher, 90, OUTPUTS[0], np.dtype("u1"), (8, elements))


@pytest.mark.parametrize("launcher", MOST_REGISTERS)
def test_a_thread_reads_neighbours_at_once(launcher):
    assert "ld.global.v2.b32" in compiled(launcher, 90, OUTPUTS[0], np.dtype("u1")).ptx


@pytest.mark.parametrize("launcher", MOST_REGISTERS)
def test_nothing_is_launched_for_no_samples(launcher):
    pytest.importorskip("triton")
    from cuda_kernels.error_statistics import kernel

    given = placeholders(launcher, OUTPUTS[0], np.dtype("u1"), (0, 5))
    assert launched_by(getattr(kernel, launcher), *given) == []


@pytest.mark.parametrize("launcher", MOST_REGISTERS)
def test_the_compiler_keeps_the_steps_that_round(launcher):
    integer = compiled(launcher, 90, OUTPUTS[1], np.dtype("u4")).ptx
    assert integer.index("0d4330000000000000") < integer.index("0dC330000000000000")  # +- 2**52
    assert "0d41EFFFFFFFE00000" in integer  # 2**32 - 1, not 2**32
    half = compiled(launcher, 90, OUTPUTS[1], np.dtype("f2")).ptx
    assert "cvt.rn.f16.f64" in half  # in one step: by way of float32 it would round twice


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS, ids=name_of)
@pytest.mark.parametrize("output", OUTPUTS, ids=name_of)
def test_the_kernels_on_a_gpu_agree_with_the_reference(output, dtype):
    for elements in (*ELEMENTS, 1_000_003):
        results = [launch_on_gpu(*call) for call in launches(output, dtype, elements)]
        assert_agrees_with_the_reference(results, output, dtype, elements)
