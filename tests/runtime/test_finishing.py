"""The compiled finish gives what the reference gives, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cuda_kernels.error_statistics.reference import finish
from engine.codec.sample_format import DTYPES
from engine.runtime import finishing
from engine.runtime.finishing import Finisher

from ..laws import same_values


@pytest.fixture(autouse=True, params=[0, 1 << 40], ids=["compiled", "reference"])
def compiling_pays(request, monkeypatch):
    monkeypatch.setattr(finishing, "_COMPILING_PAYS_ELEMENTS", request.param)


def check(reconstruction, dtype):
    samples = np.empty(reconstruction.shape, dtype)
    with np.errstate(all="ignore"):
        Finisher(dtype)(reconstruction, samples)
        assert same_values(samples, finish(reconstruction, dtype))


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_limits_halves_and_what_is_not_finite(dtype, real):
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    halves = np.arange(-4, 300, 0.5, real)
    with np.errstate(over="ignore"):
        edges = np.array([limits.min, limits.max], real)
        around = [edges, np.nextafter(edges, 0), np.nextafter(edges, np.inf), edges * 2, edges / 2]
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -0.4], real)
    check(np.concatenate([halves, *around, special])[None], dtype)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@given(reconstruction=hnp.arrays(st.sampled_from([np.float32, np.float64]), (3, 37)))
def test_any_floats(dtype, reconstruction):
    check(reconstruction, dtype)


@pytest.mark.parametrize("shape", [(1, 1), (0, 5), (7, 1023)])
def test_any_shape_and_only_what_it_was_given(shape):
    room = np.full((shape[0] + 2, shape[1]), 9, np.uint8)
    values = np.random.default_rng(0).normal(100, 90, shape).astype(np.float32)
    Finisher(np.dtype(np.uint8))(values, room[1:-1])
    assert same_values(room[1:-1], finish(values, np.dtype(np.uint8)))
    assert (room[[0, -1]] == 9).all()


def test_the_loop_is_compiled_once_it_pays(monkeypatch):
    monkeypatch.setattr(finishing, "_COMPILING_PAYS_ELEMENTS", 100)
    compiled, loop = [], finishing._compiled(False)
    monkeypatch.setattr(finishing, "_compiled", lambda _: compiled.append(1) or loop)
    finisher, values = Finisher(np.dtype(np.int16)), np.ones((1, 40), np.float32)
    for calls in (0, 0, 0, 1, 2):
        finisher(values, np.empty((1, 40), np.int16))
        assert len(compiled) == calls
