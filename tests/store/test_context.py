"""The contextual coder: exact by any model, small by a fitted one, not fooled by damage."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import CorruptStore, InvalidInput
from engine.store.coding import PCODEC, Coding
from engine.store.context import ContextCoder
from engine.store.context_fit import fit_model
from engine.store.context_model import DTYPES, ContextModel, Leaf
from engine.store.rans_tables import RansTable

from ..laws import same_values
from .test_context_model import context_models

WHERE = "chunk 7 of quantised/c/0"


@st.composite
def coded_chunks(draw):
    """A model and a chunk that need have nothing to do with each other."""
    dtype = draw(st.sampled_from(DTYPES))
    item_shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    model = draw(context_models(len(item_shape), draw(st.sampled_from(DTYPES))))
    shape = (draw(st.integers(1, 5)), *item_shape)
    limits = np.iinfo(dtype)
    wide = st.integers(limits.min, limits.max) | st.sampled_from([limits.min, limits.max])
    value = draw(st.sampled_from([st.integers(0, 2), wide]))
    count = int(np.prod(shape))
    values = draw(st.lists(value, min_size=count, max_size=count))
    return model, np.array(values, dtype).reshape(shape)


def smooth(shape, dtype=np.int16, seed=0):
    """Rounded random walks along all axes of an item."""
    values = np.random.default_rng(seed).normal(size=shape)
    for axis in range(1, len(shape)):
        values = np.cumsum(values, axis)
    return np.rint(values - values.min()).astype(dtype)


@settings(max_examples=100, deadline=None)
@given(coded_chunks())
def test_any_values_come_back_by_any_model(case):
    model, values = case
    coder = ContextCoder(model, values.shape, values.dtype)
    assert same_values(coder.decode(coder.encode(values), WHERE), values)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "shape", [(1, 1), (7, 200), (9, 12, 7), (1, 40, 40), (5, 6, 5, 4)], ids=str
)
def test_fitted_models_code_any_shape(shape, dtype):
    values = smooth(shape, dtype)
    coder = ContextCoder(fit_model(values, 1e6), shape, values.dtype)
    assert same_values(coder.decode(coder.encode(values), WHERE), values)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fitted_models_code_noise(dtype):
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(0)
    values = rng.integers(limits.min, limits.max, (40, 9, 8), dtype, endpoint=True)
    values[::3] = limits.max
    values[::4] = limits.min
    coder = ContextCoder(fit_model(values, 1e6), values.shape, dtype)
    content = coder.encode(values)
    assert same_values(coder.decode(content, WHERE), values)
    assert len(content) < 1.05 * values.nbytes + 16


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (3, 4, 0)], ids=str)
def test_chunks_of_nothing(shape):
    model = fit_model(smooth((3, *np.add(shape[1:], 1))), 1e6)
    coder = ContextCoder(model, shape, np.dtype(np.int16))
    values = np.zeros(shape, np.int16)
    assert same_values(coder.decode(coder.encode(values), WHERE), values)


def test_chunks_in_any_order_and_byte_order_are_the_same_bytes():
    values = smooth((16, 9, 8))
    model = fit_model(values, 1e6)
    coder = ContextCoder(model, values.shape, values.dtype)
    content = coder.encode(values)
    assert coder.encode(np.asfortranarray(values)) == content
    assert coder.encode(values.astype(">i2")) == content
    big = ContextCoder(model, values.shape, np.dtype(">i2"))
    assert (big.encode(values), same_values(big.decode(content, WHERE), values)) == (content, True)


def test_values_outside_the_tables_lie_at_the_end():
    table = Leaf(0, RansTable(0, -1, (1000, 2000, 1000)))
    values = np.array([[0], [-300], [1], [2]], np.int16)
    model = ContextModel(((1,),), (), (table,))
    content = ContextCoder(model, values.shape, values.dtype).encode(values)
    assert np.frombuffer(content[-4:], "<i2").tolist() == [2, -300]


def test_constant_positions_cost_nothing():
    values = np.zeros((256, 20, 20), np.int8)
    values[:, 10, 3] = 7
    coder = ContextCoder(fit_model(values, 1e9), values.shape, values.dtype)
    assert len(coder.encode(values)) <= 16 + 80


def test_neighbours_tell_what_positions_do_not():
    """Bands of random width and height: each value is that to the left or above, or a new one."""
    rng = np.random.default_rng(0)
    values = np.repeat(rng.integers(0, 9, (512, 16, 1), np.int8), 24, axis=2)
    coder = ContextCoder(fit_model(values[:384], values.size), (128, 16, 24), values.dtype)
    entropy = 128 * 16 * np.log2(9) / 8
    assert len(coder.encode(values[384:])) <= 1.1 * entropy + 16


def test_smooth_values_take_less_than_by_pcodec():
    values = smooth((128, 24, 24)) // 4
    coder = ContextCoder(fit_model(values[:96], 1e7), (32, 24, 24), values.dtype)
    differences = np.diff(values[96:], axis=2)
    pcodec = Coding(PCODEC, 8, samples_last=False).encode(differences)
    assert len(coder.encode(values[96:])) < 0.9 * len(pcodec)


# Hostile bytes.


def damaged_case():
    values = smooth((16, 6, 5), seed=1) // 3
    values[3, 2, 2], values[9, 5, 0] = -30000, 31000
    coder = ContextCoder(fit_model(smooth((64, 6, 5)) // 3, 1e6), values.shape, values.dtype)
    return coder, values, coder.encode(values)


def test_a_changed_bit_is_noticed_or_decodes_to_something():
    """What escaped is as good as raw: only the checksum around chunks is exact."""
    coder, values, content = damaged_case()
    noticed = 0
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            found = coder.decode(bytes(damaged), WHERE)
        except CorruptStore as error:
            assert str(error).startswith(WHERE) and "\n" not in str(error)
            noticed += 1
        else:
            assert (found.shape, found.dtype) == (values.shape, values.dtype)
    assert noticed > 7 * len(content)


def test_every_truncation_is_noticed():
    coder, _, content = damaged_case()
    for length in range(len(content)):
        with pytest.raises(CorruptStore):
            coder.decode(content[:length], WHERE)
    with pytest.raises(CorruptStore):
        coder.decode(content + b"\0", WHERE)


@settings(max_examples=60, deadline=None)
@given(coded_chunks(), st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(case, content):
    model, values = case
    try:
        found = ContextCoder(model, values.shape, values.dtype).decode(content, WHERE)
    except CorruptStore:
        return
    assert (found.shape, found.dtype) == (values.shape, values.dtype)


def test_values_of_another_type_are_damage():
    model = ContextModel(((1,),), ((1023,),), (Leaf(1, RansTable(0, 100, (4000,))),))
    shape = (1, 9)
    wide = np.array([[100, 500, 2098, 8484, 0, 0, 0, 0, 0]], np.int16)
    content = ContextCoder(model, shape, wide.dtype).encode(wide)
    with pytest.raises(CorruptStore):
        ContextCoder(model, shape, np.dtype(np.int8)).decode(content, WHERE)


def test_memory_stays_within_what_the_model_says():
    values = smooth((64, 32, 32))
    model = fit_model(values, 1e6)
    coder = ContextCoder(model, values.shape, values.dtype)
    content = coder.encode(values)
    tracemalloc.start()
    coder.decode(content, WHERE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * max(model.scratch_bytes(values.shape), values.nbytes)


def test_a_chunk_of_another_rank_is_refused():
    with pytest.raises(InvalidInput):
        ContextCoder(fit_model(smooth((9, 4)), 1e6), (9, 4, 4), np.dtype(np.int16))
