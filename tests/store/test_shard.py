"""Shard objects: what we write every Zarr tool reads, and the other way round."""

import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import CorruptStore
from engine.geometry import RowGrid
from engine.store.arrays import METADATA, ShardedArray
from engine.store.coding import DEFAULT_CODED, Coded, Coding
from engine.store.prediction import Prediction
from engine.store.shard import decode_chunk, encode_chunk, encode_shard
from engine.store.shard_index import ZARR_INDEX

from ..laws import same_values

ABSENT = np.iinfo(np.uint64).max
# zarr-python says so of every codec of numcodecs, pcodec too.
pytestmark = pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3")
PCODEC = Coding("pcodec", 8, samples_last=False)
CODINGS = [
    Coding(),
    Coding(level=6, samples_last=False),
    Coding(planes=True),
    Coding(samples_last=False, planes=True),
]
DTYPES = ["int8", "int16", "uint8", "float32", "bool", "float16", "int64"]


@st.composite
def sharded_arrays(draw, codings=CODINGS, dtypes=DTYPES):
    chunk_samples = draw(st.integers(1, 5))
    grid = RowGrid(
        samples=draw(st.integers(1, 30)),
        chunk_samples=chunk_samples,
        shard_samples=chunk_samples * draw(st.integers(1, 4)),
    )
    item_shape = tuple(draw(st.lists(st.integers(1, 4), max_size=3)))
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    coded = DEFAULT_CODED
    if dtype.kind != "b":
        predictions = [Prediction()]
        if dtype.kind in "iu":
            predictions += [Prediction((0,)), Prediction(tuple(range(len(item_shape) + 1)))]
        coded = Coded(draw(st.sampled_from(predictions)), draw(st.sampled_from(codings)))
    fill_value = draw(st.integers(0, 1)) if coded == DEFAULT_CODED else 0
    return ShardedArray("values", grid, item_shape, dtype, fill_value, coded=coded)


def example_array(samples=10, chunk_samples=2, shard_samples=4, item_shape=(3,), dtype="int8"):
    return ShardedArray(
        "values", RowGrid(samples, chunk_samples, shard_samples), item_shape, np.dtype(dtype), 0
    )


def random_values(array, seed=0):
    """Any bit pattern of the dtype: NaN, infinities and negative zeros too."""
    shape = (array.grid.samples, *array.item_shape)
    if array.dtype == bool:
        return np.random.default_rng(seed).integers(0, 2, shape).astype(bool)
    size = int(np.prod(shape)) * array.dtype.itemsize
    return np.frombuffer(np.random.default_rng(seed).bytes(size), array.dtype).reshape(shape)


def as_stored(array, values):
    """What the Zarr array holds for `values`: differences, and their bytes, chunk by chunk."""
    chunk_samples = array.grid.chunk_samples
    chunks = []
    for start in range(0, len(values), chunk_samples):
        chunk = np.full(array.chunk_shape, array.fill_value, array.dtype)
        rows = values[start : start + chunk_samples]
        chunk[: len(rows)] = rows
        chunks.append(array.coded.prediction.to_differences(chunk)[: len(rows)])
    stored = np.concatenate(chunks)
    if not array.coded.coding.planes:
        return stored
    if array.dtype.kind in "iu":
        signed = stored.view(f"i{array.dtype.itemsize}")
        stored = np.where(signed < 0, -2 * signed - 1, 2 * signed).astype(signed.dtype)
    return np.ascontiguousarray(stored)[..., np.newaxis].view(np.uint8)


def write_ours(folder, array, values):
    folder = folder / array.name
    folder.mkdir()
    (folder / METADATA).write_bytes(array.metadata())
    for shard in range(array.grid.shard_count):
        start, stop = array.grid.shard_rows(shard)
        path = folder.parent / array.key(shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(array.encode_shard(values[start:stop]).content)
    return folder


def read_ours(folder, array):
    """All rows, by decoding index and chunks; other writers leave out what is all fill value."""
    grid = array.grid
    values = np.full((grid.samples, *array.item_shape), array.fill_value, array.dtype)
    for shard in range(grid.shard_count):
        if not (folder / array.key(shard)).exists():
            continue
        content = (folder / array.key(shard)).read_bytes()
        size = array.index.size_bytes(grid.chunks_per_shard)
        index = array.index.decode(content[-size:], "shard")
        start, stop = grid.shard_rows(shard)
        for chunk, first in enumerate(range(start, stop, grid.chunk_samples)):
            last = min(first + grid.chunk_samples, stop)
            offset, length = map(int, index[chunk])
            if length != ABSENT:
                rows = array.decode_chunk(content[offset : offset + length], "chunk")
                values[first:last] = rows[: last - first]
    return values


def open_tensorstore(folder):
    kvstore = {"driver": "file", "path": str(folder)}
    return tensorstore.open({"driver": "zarr3", "kvstore": kvstore}).result()


@settings(max_examples=40)
@given(array=sharded_arrays(), seed=st.integers(0, 99))
def test_zarr_and_tensorstore_read_what_we_write(array, seed, tmp_path_factory):
    values = random_values(array, seed)
    folder = write_ours(tmp_path_factory.mktemp("ours"), array, values)
    stored = as_stored(array, values)
    assert same_values(zarr.open_array(folder, mode="r")[...], stored)
    assert same_values(open_tensorstore(folder).read().result(), stored)
    assert same_values(read_ours(folder.parent, array), values)


@settings(max_examples=30)
@given(array=sharded_arrays(), seed=st.integers(0, 99))
def test_we_read_what_zarr_writes(array, seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zarr")
    (folder / array.name).mkdir()
    (folder / array.name / METADATA).write_bytes(array.metadata())
    values = random_values(array, seed)
    zarr.open_array(folder / array.name, mode="r+")[...] = as_stored(array, values)
    assert same_values(read_ours(folder, array), values)


@settings(max_examples=30)
@given(array=sharded_arrays(), seed=st.integers(0, 99))
def test_we_read_what_tensorstore_writes(array, seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensorstore")
    (folder / array.name).mkdir()
    (folder / array.name / METADATA).write_bytes(array.metadata())
    values = random_values(array, seed)
    open_tensorstore(folder / array.name).write(as_stored(array, values)).result()
    assert same_values(read_ours(folder, array), values)


NUMBERS = [dtype for dtype in DTYPES if dtype != "bool"]


@settings(max_examples=25)
@given(array=sharded_arrays([PCODEC], NUMBERS), seed=st.integers(0, 99))
def test_zarr_reads_what_we_write_with_pcodec(array, seed, tmp_path_factory):
    values = random_values(array, seed)
    folder = write_ours(tmp_path_factory.mktemp("ours"), array, values)
    assert same_values(zarr.open_array(folder, mode="r")[...], as_stored(array, values))
    assert same_values(read_ours(folder.parent, array), values)


# The pcodec of numcodecs reads chunks of 8 bits, but doesn't write them.
@settings(max_examples=25)
@given(array=sharded_arrays([PCODEC], ["int16", "float16", "float32", "int64"]), seed=st.just(1))
def test_we_read_what_zarr_writes_with_pcodec(array, seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zarr")
    (folder / array.name).mkdir()
    (folder / array.name / METADATA).write_bytes(array.metadata())
    values = random_values(array, seed)
    zarr.open_array(folder / array.name, mode="r+")[...] = as_stored(array, values)
    assert same_values(read_ours(folder, array), values)


@pytest.mark.parametrize(
    "array",
    [
        example_array(),
        example_array(samples=9),
        example_array(samples=1),
        example_array(samples=5, chunk_samples=1, shard_samples=1),
        example_array(samples=6, item_shape=(4, 8, 8), dtype="int16"),
        example_array(item_shape=(), dtype="bool"),
        example_array(item_shape=(2, 1, 2), dtype="float32"),
    ],
    ids=["even", "short", "one", "one-a-shard", "axes", "flat", "float"],
)
def test_round_trip_of_each_shape(array, tmp_path):
    values = random_values(array)
    folder = write_ours(tmp_path, array, values)
    assert same_values(read_ours(tmp_path, array), values)
    assert same_values(zarr.open_array(folder, mode="r")[...], values)
    assert same_values(open_tensorstore(folder).read().result(), values)


def test_chunks_after_the_last_row_are_absent():
    made = encode_shard(np.ones((3, 2), np.int8), 2, 4)
    index = ZARR_INDEX.decode(made.content[-ZARR_INDEX.size_bytes(4) :], "shard")
    assert (index[2:] == ABSENT).all()
    assert made.chunk_crc32c[:2].all()
    assert not made.chunk_crc32c[2:].any()


def test_a_short_chunk_is_padded_with_its_last_sample():
    made = encode_shard(np.arange(14, dtype=np.int8).reshape(7, 2), 4, 2)
    index = ZARR_INDEX.decode(made.content[-ZARR_INDEX.size_bytes(2) :], "shard")
    offset, length = map(int, index[1])
    content = made.content[offset : offset + length]
    rows = decode_chunk(content, (4, 2), np.dtype(np.int8), "chunk")
    assert rows.tolist() == [[8, 9], [10, 11], [12, 13], [12, 13]]


CHUNK = encode_chunk(np.arange(24, dtype=np.int16).reshape(8, 3))
INDEX = encode_shard(np.zeros((8, 3), np.int8), 2, 4).content[-ZARR_INDEX.size_bytes(4) :]


def decode_example(content):
    return decode_chunk(content, (8, 3), np.dtype(np.int16), "latents/c/7/0")


@given(bit=st.integers(0, 8 * len(CHUNK) - 1))
def test_a_flipped_bit_of_a_chunk_is_damage(bit):
    damaged = bytearray(CHUNK)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptStore, match=r"latents/c/7/0 is damaged"):
        decode_example(bytes(damaged))


@given(size=st.integers(0, len(CHUNK) - 1))
def test_a_truncated_chunk_is_damage(size):
    with pytest.raises(CorruptStore, match=r"latents/c/7/0"):
        decode_example(CHUNK[:size])


@pytest.mark.parametrize("rows", [7, 9])
def test_a_chunk_of_another_size_is_damage(rows):
    with pytest.raises(CorruptStore, match=f"holds {rows * 6} bytes, expected 48"):
        decode_example(encode_chunk(np.zeros((rows, 3), np.int16)))


@given(bit=st.integers(0, 8 * len(INDEX) - 1))
def test_a_flipped_bit_of_an_index_is_damage(bit):
    damaged = bytearray(INDEX)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptStore, match=r"latents/c/7/0: the shard index is damaged"):
        ZARR_INDEX.decode(bytes(damaged), "latents/c/7/0")
