"""The entropy coder: exact, near the entropy, and never fooled by damaged bytes."""

import tracemalloc
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import CorruptStore, InvalidInput
from engine.store import rans, rans_loops
from engine.store.rans import RansCoder
from engine.store.rans_fit import fit_tables
from engine.store.rans_tables import RansTable, RansTables

from ..laws import same_values
from .test_rans_tables import rans_tables

WHERE = "chunk 7 of latents/c/0"
LOOPS = ["pull", "refill", "symbol_at", "word_at"]
DTYPES = [np.dtype(np.int8), np.dtype(np.int16)]


@st.composite
def coded_chunks(draw):
    """Tables and a chunk that need have nothing to do with each other."""
    dtype = draw(st.sampled_from(DTYPES))
    tables = draw(rans_tables(dtype))
    shape = (draw(st.integers(1, 9)), *draw(st.lists(st.integers(1, 4), max_size=3)))
    limits = np.iinfo(dtype)
    wide = st.integers(limits.min, limits.max) | st.sampled_from([limits.min, limits.max])
    value = draw(st.sampled_from([st.integers(-2, 2), wide]))
    count = int(np.prod(shape))
    values = draw(st.lists(value, min_size=count, max_size=count))
    return tables, np.array(values, dtype).reshape(shape)


def laplacian(samples, scales, dtype=np.int8, seed=0):
    """Rounded Laplacian values `(samples, channels)` of these standard deviations."""
    rng = np.random.default_rng(seed)
    values = rng.laplace(size=(samples, len(scales))) * np.asarray(scales) / np.sqrt(2)
    limit = np.iinfo(dtype).max
    return np.clip(np.rint(values), -limit, limit).astype(dtype)


@settings(max_examples=300)
@given(coded_chunks())
def test_any_values_come_back_by_any_tables(case):
    tables, values = case
    coder = RansCoder(tables, values.shape, values.dtype)
    assert same_values(coder.decode(coder.encode(values), WHERE), values)


@pytest.mark.parametrize("shape", [(1,), (5, 1), (64, 166), (3, 0), (0, 4)], ids=str)
def test_fitted_tables_code_any_shape(shape):
    values = np.random.default_rng(1).integers(-4, 5, shape).astype(np.int8)
    coder = RansCoder(fit_tables(values, 1), shape, values.dtype)
    assert same_values(coder.decode(coder.encode(values), WHERE), values)


def test_chunks_in_any_order_and_byte_order_are_the_same_bytes():
    values = laplacian(40, [3, 300, 1000], np.int16)
    coder = RansCoder(fit_tables(values, 3), values.shape, values.dtype)
    content = coder.encode(values)
    assert coder.encode(np.asfortranarray(values)) == content
    assert coder.encode(values.astype(">i2")) == content
    big = RansCoder(fit_tables(values, 3), values.shape, np.dtype(">i2"))
    assert (big.encode(values), same_values(big.decode(content, WHERE), values)) == (content, True)


def test_values_outside_the_tables_lie_at_the_end():
    table = RansTables((RansTable(0, -1, (1000, 2000, 1000)),))
    values = np.array([[0], [-300], [1], [2]], np.int16)
    content = RansCoder(table, values.shape, values.dtype).encode(values)
    assert np.frombuffer(content[-4:], "<i2").tolist() == [-300, 2]


def test_constant_channels_cost_nothing():
    values = np.zeros((256, 500), np.int8)
    values[:, 100] = 7
    coder = RansCoder(fit_tables(values, 500), values.shape, values.dtype)
    assert len(coder.encode(values)) <= 16 + 8


def entropy_bytes(values):
    """Sum of the empirical entropies of the channels."""
    bits = 0.0
    for channel in values.reshape(len(values), -1).T:
        counts = np.unique(channel, return_counts=True)[1]
        bits += len(channel) * np.log2(len(channel)) - counts @ np.log2(counts)
    return bits / 8


@pytest.mark.parametrize("chunk_samples", [64, 128, 256])
@pytest.mark.parametrize(
    ("channels", "largest"), [(32, 10), (166, 10), (166, 1), (32, 1), (384, 40)]
)
def test_small_chunks_are_near_the_entropy(chunk_samples, channels, largest):
    values = laplacian(1 << 14, np.geomspace(0.1, largest, channels))
    tables = fit_tables(values[: 1 << 12], channels)
    coder = RansCoder(tables, (chunk_samples, channels), values.dtype)
    chunks = values.reshape(-1, chunk_samples, channels)
    assert sum(len(coder.encode(chunk)) for chunk in chunks) <= 1.08 * entropy_bytes(values)


@pytest.mark.slow
def test_large_stores_are_near_the_entropy():
    """With all that is stored of latents: tables, shard indexes and checksums."""
    values = laplacian(100 * 1024, np.geomspace(0.1, 10, 64))
    tables = fit_tables(values[:8192], 64)
    coder = RansCoder(tables, (256, 64), values.dtype)
    chunks = [len(coder.encode(chunk)) for chunk in values.reshape(-1, 256, 64)]
    stored = len(tables.to_json()["tables"]) + sum(chunks) + 20 * len(chunks)
    assert stored <= 1.05 * entropy_bytes(values)


@pytest.mark.parametrize("scale", [1, 30, 300])
def test_wide_values_are_near_the_entropy(scale):
    values = laplacian(1 << 16, [scale], np.int16)
    coder = RansCoder(fit_tables(values, 1), values.shape, values.dtype)
    assert len(coder.encode(values)) <= 1.02 * entropy_bytes(values) + 16


# Hostile bytes.


def damaged_case():
    values = laplacian(16, [0.3, 2, 5, 400], np.int16)
    tables = fit_tables(laplacian(1000, [0.3, 2, 2, 200], np.int16, seed=1), 4)
    coder = RansCoder(tables, values.shape, values.dtype)
    return coder, values, coder.encode(values)


def test_a_changed_bit_is_noticed_or_changes_few_values():
    """What escaped, and low bits, are as good as raw: only the checksum around chunks is exact."""
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
            assert (found != values).sum() <= 3
    assert noticed > 5 * len(content)


def test_every_truncation_is_noticed():
    coder, _, content = damaged_case()
    for size in range(len(content)):
        with pytest.raises(CorruptStore, match=WHERE):
            coder.decode(content[:size], WHERE)
    for more in (b"\0", b"\0\0", content):
        with pytest.raises(CorruptStore, match=WHERE):
            coder.decode(content + more, WHERE)


@settings(max_examples=200)
@given(content=st.binary(max_size=120), seed=st.integers(0, 9))
def test_any_bytes_are_damage(content, seed):
    values = laplacian(6, [0.2, 3, 50], np.int16, seed)
    coder = RansCoder(fit_tables(values, 3), values.shape, values.dtype)
    with pytest.raises(CorruptStore, match=WHERE):
        coder.decode(content, WHERE)


@settings(max_examples=60, deadline=None)
@given(case=coded_chunks(), data=st.data())
def test_no_bytes_lead_out_of_bounds(case, data):
    """In plain Python, an index out of bounds is an error."""
    tables, values = case
    coder = RansCoder(tables, values.shape, values.dtype)
    states = data.draw(st.binary(max_size=4 * tables.states))
    content = states + coder.encode(values)[len(states) :]
    content = content[: data.draw(st.integers(0, len(content)))]
    arguments = (np.frombuffer(content, np.uint8), tables.states)
    arguments += (coder._tables, tables.coded.starts, tables.coded.symbols)
    symbols = [np.zeros((len(coder._tables), len(values)), np.uint8) for _ in range(2)]
    loops = {name: getattr(rans_loops, name) for name in LOOPS}
    found = loops["pull"](*arguments, symbols[0])
    in_python = {name: loop.py_func for name, loop in loops.items()}
    with mock.patch.multiple(rans_loops, **in_python), np.errstate(over="ignore"):
        assert in_python["pull"](*arguments, symbols[1]) == found <= len(content)
    assert same_values(*symbols)


def test_a_run_of_more_chunks_than_are_encoded_at_once(monkeypatch):
    monkeypatch.setattr(rans, "_VALUES_AT_ONCE", 100)
    values = laplacian(160, [0.5, 3, 200], np.int16)
    coder = RansCoder(fit_tables(values, 3), (16, 3), values.dtype)
    contents = coder.encode_run(values)
    assert contents == [coder.encode(values[start : start + 16]) for start in range(0, 160, 16)]


def test_chunks_of_a_run_are_those_coded_singly_and_a_damaged_one_is_named():
    values = laplacian(64, [0.5, 3, 200], np.int16)
    coder = RansCoder(fit_tables(values, 3), (16, 3), values.dtype)
    contents = [coder.encode(values[start : start + 16]) for start in range(0, 64, 16)]
    assert coder.encode_run(values) == contents
    rows = np.zeros_like(values)
    coder.decode_run(contents, "chunk {}".format, rows)
    assert same_values(rows, values)
    for damaged in ([*contents[:2], contents[2][:-1], contents[3]], [*contents[:2], b"", b""]):
        with pytest.raises(CorruptStore, match="chunk 2 is damaged"):
            coder.decode_run(damaged, "chunk {}".format, rows)


def test_another_number_of_samples_is_damage():
    values = laplacian(16, [1, 4, 9])
    tables = fit_tables(values, 3)
    content = RansCoder(tables, (16, 3), values.dtype).encode(values)
    for shape in [(15, 3), (17, 3), (4000, 3), (16, 2), (16, 4)]:
        with pytest.raises(CorruptStore, match=WHERE):
            RansCoder(tables, shape, values.dtype).decode(content, WHERE)


def test_decoding_takes_little_more_than_the_values():
    values = laplacian(256, np.geomspace(0.1, 10, 512))
    coder = RansCoder(fit_tables(values, 512), values.shape, values.dtype)
    content = coder.encode(values)
    coder.decode(content, WHERE)
    tracemalloc.start()
    try:
        coder.decode(content, WHERE)
        assert tracemalloc.get_traced_memory()[1] < 3 * values.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_other_types_are_refused(dtype):
    tables = RansTables((RansTable(0, 0, (1,)),))
    with pytest.raises(InvalidInput, match=dtype):
        RansCoder(tables, (3, 4), np.dtype(dtype))
