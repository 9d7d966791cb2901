import importlib.util
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cuda_kernels.residuals import reference
from cuda_kernels.residuals.step import round_down, steps
from engine.runtime import residual_loops
from engine.runtime.residuals import quantise, restore

INTEGERS = [np.dtype(f"{kind}{size}") for kind in "ui" for size in (1, 2, 4, 8)]
FLOATS = [np.dtype(f"f{size}") for size in (2, 4, 8)]
KEPT = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int32}
of_every_dtype = pytest.mark.parametrize("dtype", INTEGERS + FLOATS, ids=str)


def working(dtype):
    """The dtype of a decoder's output for samples of `dtype`."""
    return np.dtype("f4" if dtype.itemsize <= 2 or dtype == "f4" else "f8")


def quantised(implementation, reconstruction, samples, verbatim, *bounds, kept=np.int16):
    """Residuals, patched and statistics (3, n) for `bounds`: step, tolerance, max_error."""
    residuals = np.full(samples.shape, 99, kept)
    patched = np.full(samples.shape, 99, np.uint8)
    statistics = np.full((3, len(samples)), -1.0)
    implementation(reconstruction, samples, verbatim, *bounds, residuals, patched, *statistics)
    return residuals, patched, statistics


def assert_agrees(reconstruction, samples, verbatim, *bounds, kept=np.int16):
    arguments = (reconstruction, samples, verbatim, *bounds)
    found = quantised(quantise, *arguments, kept=kept)
    expected = quantised(reference.quantise, *arguments, kept=kept)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[2][0], expected[2][0])
    np.testing.assert_allclose(found[2][1:], expected[2][1:], rtol=1e-12)
    step = np.full(len(samples), bounds[0])
    restored = restore(reconstruction, found[0], step, samples.dtype)
    again = reference.restore(reconstruction, found[0], step, samples.dtype)
    assert restored.dtype == again.dtype == samples.dtype
    np.testing.assert_array_equal(restored, again)
    zeros = [np.signbit(values)[again == 0] for values in (restored, again)]
    np.testing.assert_array_equal(*zeros)
    return found


def within(reconstruction, tolerance, fraction):
    """The reconstruction of a reader that drifts by `fraction` of the tolerance, and not more."""
    with np.errstate(over="ignore", invalid="ignore"):
        wide = reconstruction.astype("f8")
        moved = (wide + fraction * tolerance).astype(reconstruction.dtype)
        inward = np.nextafter(moved, reconstruction)
        moved = np.where(np.abs(moved - wide) > tolerance, inward, moved)
        return np.where(np.abs(moved - wide) > tolerance, reconstruction, moved)


def violations(restored, samples, patched, max_error):
    """How many elements lie beyond the bound, in float64 or in the sample's own dtype."""
    whole = patched == 0
    x, restored = samples[whole], restored[whole]
    with np.errstate(over="ignore", invalid="ignore"):
        beyond = ~(np.abs(restored.astype("f8") - x.astype("f8")) <= max_error)
        if samples.dtype.kind == "f":
            beyond |= ~(np.abs(restored - x).astype("f8") <= max_error)
        else:  # where integers wrap around, the larger minus the smaller is still right
            apart = np.maximum(restored, x) - np.minimum(restored, x)
            unsigned = apart.view(f"u{apart.itemsize}")
            beyond |= unsigned > np.uint64(min(max_error, 2.0**62))
    return int(np.count_nonzero(beyond))


def drifting_violations(reconstruction, samples, result, step, tolerance, max_error, rng):
    """The violations of readers at both ends of the tolerance, at none and at random drift."""
    residuals, patched, _ = result
    rows = np.full(len(samples), step)
    drifts = [-1.0, 1.0, 0.0, rng.uniform(-1, 1, reconstruction.shape)]
    return sum(
        violations(
            restore(within(reconstruction, tolerance, drift), residuals, rows, samples.dtype),
            samples,
            patched,
            max_error,
        )
        for drift in drifts
    )


@of_every_dtype
@settings(max_examples=60)
@given(data=st.data())
def test_holds_any_bound_and_agrees_with_the_reference(dtype, data):
    shape = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 30)))
    samples = data.draw(hnp.arrays(dtype, shape))
    verbatim = data.draw(hnp.arrays("u1", shape, elements=st.integers(0, 1), fill=st.just(0)))
    near = data.draw(hnp.arrays("f8", shape, elements=st.floats(-100, 100)))
    anything = data.draw(hnp.arrays(working(dtype), shape))
    with np.errstate(all="ignore"):
        near = (samples + near).astype(working(dtype))
    reconstruction = np.where(data.draw(hnp.arrays("?", shape)), near, anything)
    wanted = data.draw(st.floats(0, 1e3) | st.floats(0, 1e308))
    tolerance = data.draw(st.sampled_from([0.0, 1e-6, 0.4]) | st.floats(0, wanted))
    bound = round_down(wanted, dtype)
    for step in (0.0, *steps(bound, dtype, 0.0, 100.0, tolerance)):
        bounds = (step, tolerance, bound)
        result = assert_agrees(
            reconstruction, samples, verbatim, *bounds, kept=KEPT[dtype.itemsize]
        )
        rng = np.random.default_rng(0)
        assert drifting_violations(reconstruction, samples, result, *bounds[:2], wanted, rng) == 0
        assert np.all(result[1] >= verbatim)
        assert np.all(result[1][~np.isfinite(samples) | ~np.isfinite(reconstruction)] == 1)
        assert np.all(result[0][result[1] == 1] == 0)


CASES = [  # dtype, centre, scale, max_error, tolerance
    ("u1", 128, 50, 0.0, 1e-3),
    ("u1", 128, 50, 2.9, 1e-3),
    ("i1", 0, 40, 5.0, 0.1),
    ("u2", 3e4, 5e3, 0.0, 0.2),
    ("i2", 0, 5e3, 100.5, 1e-2),
    ("u4", 4e9, 1e7, 10.0, 1e-3),
    ("i4", 0, 1e3, 0.0, 1e-4),
    ("u8", 1e6, 1e3, 3.0, 1e-3),
    ("i8", -9e15, 1e14, 1e10, 1.0),  # across -2**53
    ("f2", 300, 30, 0.3, 1e-3),
    ("f2", 0, 1e-6, 1e-7, 1e-9),  # subnormal
    ("f2", 6e4, 4e3, 100.0, 0.5),  # into infinity
    ("f4", 3e5, 1e3, 0.02, 1e-4),
    ("f4", 3e5, 1e3, 1e-3, 1e-4),  # below a spacing: lossless
    ("f4", 0, 1, 1e-3, 1e-6),
    ("f4", 0, 1e-40, 1e-42, 1e-44),
    ("f4", 0, 1e38, 1e35, 1e31),
    ("f8", 300, 30, 1e-2, 1e-5),
    ("f8", 1e9, 1e3, 1e-7, 1e-9),  # near a spacing
    ("f8", 0, 1e-300, 1e-303, 1e-306),
]


def draw_case(rng, dtype, centre, scale, max_error, tolerance, shape):
    """Samples around `centre`, a reconstruction some steps off, the bounds to try."""
    dtype = np.dtype(dtype)
    exact = centre + scale * rng.normal(size=shape)
    samples = reference.finish(exact, dtype)
    spread = 20 * max(max_error, np.spacing(working(dtype).type(abs(centre) + scale)))
    with np.errstate(over="ignore"):
        reconstruction = (exact + spread * rng.normal(size=shape)).astype(working(dtype))
    magnitude = np.abs(samples[np.isfinite(samples)].astype("f8"))
    bound = round_down(max_error, dtype)
    found = steps(bound, dtype, magnitude.min(), magnitude.max(), tolerance)
    return samples, reconstruction, [(step, tolerance, bound) for step in (0.0, *found)]


def check_case(rng, case, shape):
    """Return how many elements were checked, and the least share of patches of any step."""
    samples, reconstruction, bounds = draw_case(rng, *case, shape)
    shares = []
    for triple in bounds:
        result = quantised(quantise, reconstruction, samples, None, *triple, kept=np.int32)
        step, tolerance, _ = triple
        beyond = drifting_violations(reconstruction, samples, result, step, tolerance, case[3], rng)
        assert beyond == 0, (case, step)
        shares.append(float(result[1].mean()))
    return samples.size, min(shares)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_reader_violates_the_bound(case):
    rng = np.random.default_rng(0)
    _, patched = check_case(rng, case, (8, 10_000))
    beyond_range = {"f2": 0.3, "i8": 0.6}.get(case[0], 0.0)
    assert patched <= 0.01 + beyond_range
    samples, reconstruction, bounds = draw_case(rng, *case, (5, 1023))
    for triple in bounds:
        assert_agrees(reconstruction, samples, None, *triple, kept=np.int32)


@pytest.mark.slow
def test_no_reader_violates_the_bound_over_many_elements():
    rng = np.random.default_rng()
    checked = 0
    while checked < 10**8:
        for dtype, centre, scale, max_error, tolerance in CASES:
            factor = rng.uniform(0.5, 2)
            case = (dtype, centre, scale, max_error * factor, tolerance * factor)
            checked += check_case(rng, case, (64, 4096))[0]


@pytest.mark.parametrize(
    ("case", "share"), [(("f4", 3e5, 1e3, 0.02), 0.1), (("f2", 300, 30, 0.2), 0.1)], ids=str
)
def test_the_naive_formula_violates_the_bound(case, share):
    rng = np.random.default_rng(0)
    samples, reconstruction, _ = draw_case(rng, *case, 0.0, (100, 1000))
    y = reconstruction.astype("f8")
    k = np.rint((samples - y) / (2 * case[3]))
    restored = (y + k * (2 * case[3])).astype(samples.dtype)
    assert violations(restored, samples, np.zeros(samples.shape), case[3]) > share * samples.size


@pytest.mark.parametrize("case", [("u1", 128, 50, 2.0), ("f4", 3e5, 1e3, 0.02)], ids=str)
def test_drift_beyond_the_tolerance_violates_the_bound(case):
    rng = np.random.default_rng(0)
    samples, reconstruction, bounds = draw_case(rng, *case, 0.0, (100, 1000))
    step, _, bound = bounds[-1]
    result = quantised(quantise, reconstruction, samples, None, step, 0.0, bound)
    assert drifting_violations(reconstruction, samples, result, step, 0.0, case[3], rng) == 0
    assert drifting_violations(reconstruction, samples, result, step, 0.3, case[3], rng) > 0


def test_a_bound_between_float16s_would_be_violated_in_float16():
    rng = np.random.default_rng(0)
    samples = rng.uniform(-0.01, 0.01, (10, 10_000)).astype("f2")
    reconstruction = rng.uniform(-0.4, 0.4, samples.shape).astype("f4")
    beyond = []
    for bound in (0.3, round_down(0.3, samples.dtype)):
        result = quantised(quantise, reconstruction, samples, None, 0.0, 0.0, bound)
        beyond.append(drifting_violations(reconstruction, samples, result, 0.0, 0.0, 0.3, rng))
    assert beyond[0] > 0
    assert beyond[1] == 0


@pytest.mark.parametrize("dtype", ["u1", "i4", "f4"])
@pytest.mark.parametrize("elements", [0, 1, 7, 1023, 1025])
def test_agrees_at_awkward_sizes(dtype, elements):
    rng = np.random.default_rng(elements)
    samples = rng.integers(0, 100, (5, elements)).astype(dtype)
    reconstruction = (samples + 3 * rng.normal(size=samples.shape)).astype(working(samples.dtype))
    verbatim = rng.integers(0, 2, samples.shape, dtype=np.uint8)
    for mask in (None, verbatim):
        assert_agrees(reconstruction, samples, mask, 1.5, 0.1, 1.0)
    assert_agrees(reconstruction[:0], samples[:0], None, 1.5, 0.1, 1.0)


@pytest.mark.parametrize("dtype", ["u1", "f2", "f4", "f8"])
def test_a_constant_stands_for_a_whole_reconstruction(dtype):
    samples = np.arange(200).reshape(10, 20).astype(dtype)
    results = [
        assert_agrees(base, samples, None, 7.0, 0.0, 3.0, kept=np.int8)
        for base in (np.full((1, 1), 4.0), np.full((1, 20), 4.0), np.full(samples.shape, 4.0))
    ]
    np.testing.assert_array_equal(results[0][0], np.rint((samples.astype("f8") - 4) / 7))
    np.testing.assert_array_equal(results[0][1], 0)
    for result in results[1:]:
        for found, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(found, expected)


def test_lossless_integers_need_no_patch():
    samples = np.arange(65536, dtype=np.uint16).reshape(4, -1)
    (step,) = steps(0.0, samples.dtype, 0, 65535, 0.0)
    base = np.full((1, 1), 32768.0)
    residuals, patched, statistics = quantised(
        quantise, base, samples, None, step, 0.0, 0.0, kept=np.int32
    )
    assert not patched.any()
    assert not statistics.any()
    restored = restore(base, residuals, np.full(4, step), samples.dtype)
    np.testing.assert_array_equal(restored, samples)


def test_every_row_has_its_own_step():
    residuals = np.array([[1, -2], [3, 4]], dtype=np.int8)
    restored = restore(np.full((1, 1), 10.0), residuals, np.array([0.5, 2.0]), np.dtype("f4"))
    np.testing.assert_array_equal(restored, np.float32([[10.5, 9.0], [16.0, 18.0]]))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_only_what_a_formula_holds_is_left_unpatched(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    samples = np.array([[np.nan, np.inf, -np.inf, -0.0, 0.0, tiny, 5, 5, 5, 900]], dtype)
    y = np.float32([[0, np.inf, 0, 0, -0.0, 0, np.nan, np.inf, 5, 0]])
    for max_error in (1.0, np.inf):
        _, patched, statistics = assert_agrees(y, samples, None, 2.0, 0.25, max_error, kept=np.int8)
        np.testing.assert_array_equal(patched, [[1, 1, 1, 0, 0, 0, 1, 1, 0, 1]])
        assert statistics[0] == pytest.approx(0, abs=1e-7)
        assert statistics[2] == pytest.approx(4 * 0.25**2, rel=1e-3)


def test_integers_beyond_float64_are_patched():
    samples = np.array([[2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, -(2**63)]])
    reconstruction = samples.astype("f8")
    for max_error in (0.0, np.inf):
        _, patched, _ = assert_agrees(reconstruction, samples, None, 0.0, 0.0, max_error)
        np.testing.assert_array_equal(patched, [[0, 1, 1, 1, 1]])


def test_statistics():
    samples = np.array([[10, 20, 30, 40]], dtype=np.uint8)
    reconstruction = np.float32([[10.4, 17, 30, 90]])
    verbatim = np.array([[0, 0, 1, 0]], dtype=np.uint8)
    result = assert_agrees(reconstruction, samples, verbatim, 4.0, 0.2, 2.0, kept=np.int8)
    np.testing.assert_array_equal(result[0], [[0, 1, 0, -12]])
    np.testing.assert_array_equal(result[1], [[0, 0, 1, 0]])
    np.testing.assert_array_equal(result[2], [[2], [5], [6]])


def test_reads_views_and_read_only_arrays():
    samples = np.arange(60, dtype=np.uint8).reshape(6, 10)
    samples.flags.writeable = False
    reconstruction = np.linspace(0, 70, 120, dtype=np.float32).reshape(6, 20)[:, ::2]
    assert_agrees(reconstruction, samples, None, 4.0, 0.2, 2.0)
    assert_agrees(reconstruction[::2], samples[::2], None, 4.0, 0.2, 2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reconstruction": np.zeros((2, 2))}, r"found \(2, 2\), \(2, 3\)"),
        ({"reconstruction": np.zeros(3)}, r"found \(3,\), \(2, 3\)"),
        ({"verbatim": np.zeros((2, 4))}, r"\(2, 4\)"),
        ({"residuals": np.zeros((2, 3), np.int64)}, "found int64"),
        ({"max_abs_error": np.zeros(3)}, r"each of 2 samples, found \(3,\)"),
    ],
)
def test_shapes_and_dtypes_that_disagree_are_refused(change, message):
    arguments = {
        "reconstruction": np.zeros((2, 3)),
        "samples": np.zeros((2, 3)),
        "verbatim": None,
        "step": 1.0,
        "tolerance": 0.0,
        "max_error": 1.0,
        "residuals": np.zeros((2, 3), np.int16),
        "patched": np.zeros((2, 3), np.uint8),
        "max_abs_error": np.zeros(2),
        "sum_squared_error": np.zeros(2),
        "worst_sum_squared_error": np.zeros(2),
    }
    with pytest.raises(ValueError, match=message):
        quantise(**(arguments | change))


def test_a_step_is_needed_for_every_row():
    with pytest.raises(ValueError, match="each of 2 samples"):
        restore(np.zeros((2, 3)), np.zeros((2, 3), np.int8), np.ones(1), np.dtype("u1"))


def test_works_where_no_folder_can_hold_the_compiled_code(tmp_path, monkeypatch):
    source = shutil.copy(residual_loops.__file__, tmp_path)
    (tmp_path / "__pycache__").touch()
    (tmp_path / "cache").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    spec = importlib.util.spec_from_file_location("unwritable", source)
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    restored = np.empty((1, 3), np.float32)
    zeros = np.zeros((1, 3), np.int8)
    copy.restore_samples(np.ones((1, 3)), zeros, np.ones(1), None, None, restored)
    np.testing.assert_array_equal(restored, 1)


def test_numba_is_imported_by_the_first_call_only():
    program = (
        "import sys, engine.runtime.residuals;"
        "sys.exit(not sys.modules.keys().isdisjoint({'numba', 'torch', 'triton'}))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
