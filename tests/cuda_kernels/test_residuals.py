import itertools
import re

import numpy as np
import pytest

from cuda_kernels.residuals import reference

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

KEPT = [np.dtype(f"i{size}") for size in (1, 2, 4)]
LAYOUTS = [  # of what the decoder returns: whole, or constant along some axis
    np.s_[:, :],
    np.s_[2:, :],
    np.s_[:, :1],
    np.s_[2:, :1],
]
BOUNDS = [  # step, tolerance, max_error
    (0.0, 0.0, 3.0),
    (1.0, 0.0, 0.0),
    (5.5, 0.25, 2.5),
    (0.3125, 1e-3, np.inf),
    (4095 * 2.0**-13, 0.1, 0.3),
    (7 * 2.0**200, 1e55, 2.0**202),
]
CASES = [
    (*case, layout)
    for case, layout in zip(
        itertools.product(OUTPUTS, INTEGERS + FLOATS, ELEMENTS), itertools.cycle(LAYOUTS)
    )
]
# 65,536 to a multiprocessor: 32 leave room for all of its 2,048 threads, 64 for half of them
MOST_REGISTERS = {"restore": 32, "quantise": 64}


def bounded_case(output, dtype, elements, kept, step, rng):
    """Awkward and ordinary samples, then some whose residuals now and then leave their dtype."""
    reconstruction, samples = make_case(output, dtype, elements)
    samples[2] = rng.integers(0, 100, elements)
    off = rng.normal(size=elements)
    off[::2] *= 0.4 * np.iinfo(kept).max * step
    with np.errstate(over="ignore"):
        reconstruction[2] = samples[2] + off
    return reconstruction, samples


def launches(output, dtype, elements, layout):
    """A call of each launcher: its name and its arguments, results last."""
    rng = np.random.default_rng([elements, dtype.num, output.num])
    kept = KEPT[rng.integers(len(KEPT))]
    bounds = BOUNDS[rng.integers(len(BOUNDS))]
    reconstruction, samples = bounded_case(output, dtype, elements, kept, bounds[0], rng)
    decoded = np.ascontiguousarray(reconstruction[layout])
    marked = (rng.random(samples.shape) < 0.1).astype(np.uint8)
    verbatim = marked if rng.random() < 0.5 else None
    results = [np.full_like(samples, 99, kind) for kind in (kept, np.uint8)]
    results += list(np.full((3, len(samples)), -1.0))
    limits = np.iinfo(kept)
    stored = rng.integers(limits.min, limits.max, samples.shape, kept, endpoint=True)
    step = np.array([0.0, bounds[0], 4095 * 2.0**-12])
    return [
        ("quantise", [decoded, samples, verbatim, *bounds, *results]),
        ("restore", [decoded, stored, step, np.full_like(samples, 99)]),
    ]


def single_elements():
    """A call of `quantise` for samples of one element."""
    rng = np.random.default_rng(0)
    samples, off = rng.normal(size=(2, 200, 1)) * 100
    results = [np.zeros((200, 1), kind) for kind in (np.int16, np.uint8)]
    bounds = (1.3, 0.1, 2.0)
    return "quantise", [samples + off, samples, None, *bounds, *results, *np.zeros((3, 200))]


def exact_integers():
    """A call of `quantise` for integers around the last that a float64 tells from the next."""
    samples = np.array([[sign * (2**53 + by)] for sign in (-1, 1) for by in (-1, 0, 1)])
    results = [np.zeros((6, 1), kind) for kind in (np.int16, np.uint8)]
    bounds = (1.0, 0.0, 3.0)
    return "quantise", [samples.astype("f8"), samples, None, *bounds, *results, *np.zeros((3, 6))]


def assert_agrees_with_the_reference(results, calls):
    for found, (launcher, arguments) in zip(results, calls, strict=True):
        if launcher == "restore":
            expected = reference.restore(*arguments[:3], arguments[3].dtype)
            assert_same_samples(found[3], expected)
        else:
            reference.quantise(*arguments)
            residuals, patched, max_abs_error, *sums = arguments[-5:]
            np.testing.assert_array_equal(found[-5], residuals)
            np.testing.assert_array_equal(found[-4], patched)
            np.testing.assert_array_equal(found[-3], max_abs_error)
            np.testing.assert_allclose(found[-2:], sums, rtol=1e-12)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    """What the launchers return for each case in Triton's interpreter."""
    named = {
        f"{case}.{position}": call
        for case, arguments in enumerate(CASES)
        for position, call in enumerate(launches(*arguments))
    }
    named["single elements"] = single_elements()
    named["exact integers"] = exact_integers()
    return interpret(tmp_path_factory.mktemp("interpreter"), named)


@pytest.mark.parametrize(
    "case", range(len(CASES)), ids=lambda i: "-".join(map(name_of, CASES[i][:3]))
)
def test_the_interpreted_kernels_agree_with_the_reference(case, interpreted):
    calls = launches(*CASES[case])
    results = [interpreted[f"{case}.{position}"] for position in range(len(calls))]
    assert_agrees_with_the_reference(results, calls)


@pytest.mark.parametrize("make_call", [single_elements, exact_integers])
def test_the_interpreted_kernel_rounds_each_step_as_the_reference(make_call, interpreted):
    call = make_call()
    found = interpreted[make_call.__name__.replace("_", " ")]
    assert_agrees_with_the_reference([found], [call])
    np.testing.assert_array_equal(found[-3:], call[1][-3:])  # one element is a sum without order


def placeholders(launcher, output, dtype, kept, shape=(4096, 784), layout=None, verbatim=False):
    """The arguments of a launch that goes no further than the compiler."""
    decoded, samples = Placeholder(layout or shape, output), Placeholder(shape, dtype)
    mask, row = Placeholder(shape, np.dtype("u1")), Placeholder(shape[:1], np.dtype("f8"))
    if launcher == "restore":
        return [decoded, Placeholder(shape, kept), row, samples]
    marked, results = mask if verbatim else None, [Placeholder(shape, kept), mask]
    return [decoded, samples, marked, 0.5, 0.1, 1.0, *results, row, row, row]


def compiled(launcher, capability, *arguments, **variant):
    pytest.importorskip("triton")
    from cuda_kernels.residuals import kernel

    given = placeholders(launcher, *arguments, **variant)
    found = compile_launch(capability, getattr(kernel, launcher), *given)
    assert_sane(found, capability, MOST_REGISTERS[launcher])
    return found


@pytest.mark.parametrize("launcher", MOST_REGISTERS)
@pytest.mark.parametrize(("capability", "dtype"), in_quick_tests(INTEGERS + FLOATS))
def test_the_kernels_compile_without_a_gpu(capability, dtype, launcher):
    wide = dtype.itemsize == 8
    compiled(launcher, capability, OUTPUTS[wide], dtype, KEPT[1 + wide])


@pytest.mark.parametrize("launcher", MOST_REGISTERS)
@pytest.mark.parametrize("kept", KEPT, ids=name_of)
@pytest.mark.parametrize(
    "variant",
    [
        {"shape": (4096, 64)},
        {"shape": (4096, 729), "layout": (1, 729)},
        {"shape": (8, 1_000_000), "layout": (1, 1), "verbatim": True},
        {"layout": (4096, 1), "verbatim": True},
    ],
    ids=str,
)
def test_the_kernels_compile_for_samples_of_any_size_and_layout(variant, kept, launcher):
    compiled(launcher, 90, OUTPUTS[0], np.dtype("u1"), kept, **variant)


@pytest.mark.parametrize("launcher", MOST_REGISTERS)
def test_a_thread_reads_neighbours_at_once(launcher):
    found = compiled(launcher, 90, OUTPUTS[0], np.dtype("u1"), KEPT[1])
    assert "ld.global.v2.b32" in found.ptx


@pytest.mark.parametrize("launcher", MOST_REGISTERS)
def test_nothing_is_launched_for_no_samples(launcher):
    pytest.importorskip("triton")
    from cuda_kernels.residuals import kernel

    given = placeholders(launcher, OUTPUTS[0], np.dtype("u1"), KEPT[1], (0, 5))
    assert launched_by(getattr(kernel, launcher), *given) == []


def test_the_compiler_keeps_the_steps_that_round():
    quantise, restore = (
        compiled(launcher, 90, OUTPUTS[1], np.dtype("f2"), KEPT[1])
        for launcher in ("quantise", "restore")
    )
    assert quantise.ptx.count(".param .f64") == 6  # as float32 the bounds would be others
    for found in (quantise, restore):
        assert "cvt.rn.f16.f64" in found.ptx  # in one step: by way of float32 it would round twice
        assert "DMUL" in found.machine_code
        assert not re.search("DFMA|FFMA", found.machine_code)


@pytest.mark.parametrize("launcher", MOST_REGISTERS)
def test_shapes_and_dtypes_that_disagree_are_refused_before_a_launch(launcher):
    pytest.importorskip("triton")
    from cuda_kernels.residuals import kernel

    u1, given = (
        np.dtype("u1"),
        {"launcher": launcher, "output": OUTPUTS[0], "dtype": np.dtype("u1")},
    )
    with pytest.raises(ValueError, match="expected int8, int16 or int32, found uint8"):
        getattr(kernel, launcher)(*placeholders(**given, kept=u1))
    with pytest.raises(ValueError, match=r"found \(4, 5\), \(4096, 784\)"):
        getattr(kernel, launcher)(*placeholders(**given, kept=KEPT[0], layout=(4, 5)))
    for position in (-1, -2) if launcher == "restore" else (-1, -4):
        arguments = placeholders(**given, kept=KEPT[0])
        arguments[position] = Placeholder((4096, 3), u1)
        with pytest.raises(ValueError, match=r"\(4096, 3\)"):
            getattr(kernel, launcher)(*arguments)


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS, ids=name_of)
@pytest.mark.parametrize("output", OUTPUTS, ids=name_of)
def test_the_kernels_on_a_gpu_agree_with_the_reference(output, dtype):
    for elements, layout in itertools.product((*ELEMENTS, 100_003), LAYOUTS):
        calls = launches(output, dtype, elements, layout)
        results = [launch_on_gpu(*call) for call in calls]
        assert_agrees_with_the_reference(results, calls)
