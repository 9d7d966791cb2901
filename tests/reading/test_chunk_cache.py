"""The cache of chunks: what was used last stays, and never more bytes than allowed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.reading.chunk_cache import ChunkCache

from ..laws import in_threads


def chunk(size_bytes):
    return np.zeros(size_bytes, np.uint8)


def refuse():
    raise AssertionError("it was kept")


@given(
    limit=st.integers(0, 100),
    asked=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=40),
)
def test_no_more_bytes_than_allowed(limit, asked):
    cache, sizes = ChunkCache(limit), {}
    for key, size in asked:
        sizes.setdefault(key, size)
        assert cache.get(key, lambda key=key: chunk(sizes[key])).nbytes == sizes[key]
        assert cache.held_bytes <= limit


def test_what_was_asked_for_last_stays():
    cache = ChunkCache(30)
    for key in "abc":
        cache.get(key, lambda: chunk(10))
    cache.get("a", refuse)
    cache.get("d", lambda: chunk(10))
    for key in "acd":
        cache.get(key, refuse)
    with pytest.raises(AssertionError, match="kept"):
        cache.get("b", refuse)


def test_what_is_too_large_drives_nothing_out():
    cache = ChunkCache(30)
    cache.get("a", lambda: chunk(20))
    assert cache.get("b", lambda: chunk(31)).nbytes == 31
    cache.get("a", refuse)


def test_threads_share_it():
    cache, wrong = ChunkCache(50), []

    def work(seed):
        for key in np.random.default_rng(seed).integers(0, 20, 2000).tolist():
            found = cache.get(key, lambda key=key: np.full(5, key, np.uint8))
            if (found != key).any() or cache.held_bytes > 55:
                wrong.append(key)

    in_threads(work, range(4))
    assert wrong == []
    assert cache.held_bytes == 50
