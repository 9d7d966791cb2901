"""Frames come and go alike by contexts of our own and by numcodecs."""

import numpy as np
import pytest
from numcodecs import zstd

from engine.errors import CorruptStore
from engine.store import zstd_frame
from engine.store.zstd_frame import compress_frame, decompress_frame

from ..laws import in_threads, same_values

WHERE = "store.zarr: chunk 3"


@pytest.fixture(params=["own context", "numcodecs"])
def library(request, monkeypatch):
    if request.param == "numcodecs":
        monkeypatch.setattr(zstd_frame, "_LIBRARY", None)
    elif zstd_frame._LIBRARY is None:
        pytest.skip("this build of numcodecs hides its zstd")


def values(seed=0, shape=(64, 30)):
    return np.random.default_rng(seed).integers(-9, 9, shape).astype(np.int16)


def decompressed(content, shape=(64, 30)):
    return decompress_frame(content, shape, np.dtype(np.int16), WHERE)


def test_what_was_compressed(library):
    for level in (1, 3, 19):
        assert same_values(decompressed(zstd.compress(values(), level)), values())


@pytest.mark.parametrize("level", [1, 3, 19])
def test_a_frame_is_the_one_that_numcodecs_makes(library, level):
    for rows in (1, 500, 7, 4000):
        chunk = values(rows, (rows, 30))
        chunk.flags.writeable = False
        content = compress_frame(chunk, level)
        assert content == bytes(zstd.compress(chunk, level))
        assert same_values(decompressed(content, chunk.shape), chunk)


def test_a_damaged_frame_does_not_spoil_the_next(library):
    good = zstd.compress(values(), 1)
    refused = 0
    for position in range(12, len(good), 7):
        bad = bytearray(good)
        bad[position] ^= 255
        try:
            decompressed(bytes(bad))
        except CorruptStore as error:
            refused += 1
            assert str(error).startswith(WHERE)
            assert "\n" not in str(error)
        assert same_values(decompressed(good), values())
    assert refused


def test_another_size_is_damage(library):
    with pytest.raises(CorruptStore, match=f"{WHERE} holds 3840 bytes, expected 3780"):
        decompressed(zstd.compress(values(), 1), (63, 30))


def test_threads_have_contexts_of_their_own(library):
    expected = [values(seed, (256, 32)) for seed in range(6)]
    contents, failures = [bytes(zstd.compress(array, 1)) for array in expected], []

    def work(which):
        for _ in range(300):
            same = same_values(decompressed(contents[which], (256, 32)), expected[which])
            if not (same and compress_frame(expected[which], 1) == contents[which]):
                failures.append(which)

    in_threads(work, range(6))
    assert failures == []
