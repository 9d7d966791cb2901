"""The index of a shard in both forms: exact, short where it may be, and never fooled."""

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CorruptStore, InvalidInput
from engine.store.shard_index import INDEX_FORMS, ZARR_INDEX, ShardIndex
from engine.store.zarr_lengths import LengthsCodec

ABSENT = np.iinfo(np.uint64).max


@given(st.lists(st.integers(0, 254), max_size=8), st.integers(0, 3))
def test_every_form_gives_the_same_places(lengths, absent):
    chunks = len(lengths) + absent
    expected = [(sum(lengths[:k]), length) for k, length in enumerate(lengths)]
    expected += [(ABSENT, ABSENT)] * absent
    for form in INDEX_FORMS:
        content = form.encode(lengths, chunks)
        assert len(content) == form.size_bytes(chunks)
        found = form.decode(content, "shard")
        assert (found.shape, found.dtype.itemsize) == ((chunks, 2), 8)
        assert [tuple(map(int, place)) for place in found] == expected


@pytest.mark.parametrize(
    ("longest", "length_bytes"), [(0, 1), (254, 1), (255, 2), (65_534, 2), (65_535, 3)]
)
def test_lengths_take_as_many_bytes_as_the_longest_may_need(longest, length_bytes):
    form = ShardIndex.of_lengths(longest)
    assert form.length_bytes == length_bytes
    found = form.decode(form.encode([longest, 0], 3), "shard")
    assert found[:2].tolist() == [[0, longest], [longest, 0]]
    assert (found[2] == ABSENT).all()


@pytest.mark.parametrize("size", [0, 9, -1, True, 2.0, "2"])
def test_lengths_of_other_sizes_are_refused(size):
    with pytest.raises(InvalidInput):
        ShardIndex(size)
    with pytest.raises(InvalidInput):
        LengthsCodec.from_dict({"name": "latent-engine.lengths", "configuration": {"bytes": size}})


@pytest.mark.parametrize("form", INDEX_FORMS, ids=str)
def test_a_changed_bit_is_noticed(form):
    content = form.encode([3, 200, 7], 5)
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptStore, match="latents/c/7/0: the shard index is damaged"):
            form.decode(bytes(damaged), "latents/c/7/0")


def test_one_form_is_not_taken_for_another():
    """Who checks a shard without its metadata tries them all."""
    contents = {form: form.encode([3, 200, 7], 4) for form in INDEX_FORMS}
    for form in INDEX_FORMS:
        for other in set(INDEX_FORMS) - {form}:
            shard = bytes(210) + contents[other]
            with pytest.raises(CorruptStore):
                form.decode(shard[-form.size_bytes(4) :], "shard")


def test_metadata_say_which_form_it_is():
    assert ZARR_INDEX.codecs()[0]["name"] == "bytes"
    assert ShardIndex(2).codecs()[0] == LengthsCodec(2).to_dict()


@pytest.mark.parametrize("places", [[(5, 3), (0, 5)], [(0, 5), (6, 3)], [(0, 70_000), (70_000, 1)]])
def test_chunks_that_lengths_can_not_place_are_not_written(places):
    """By zarr-python, which may put chunks anywhere."""
    array = zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=(2, 2),
        chunks=(2, 2),
        dtype="uint64",
        serializer=LengthsCodec(2),
        compressors=None,
    )
    with pytest.raises(InvalidInput, match="one right after the other"):
        array[...] = np.array(places, np.uint64)
    array[...] = np.array([(0, 5), (5, 3)], np.uint64)
    assert array.store._store_dict["c/0/0"].to_bytes() == b"\5\0\3\0"
    assert array[...].tolist() == [[0, 5], [5, 3]]
