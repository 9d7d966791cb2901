"""Codings: exact, read by Zarr tools as they are by us, and never fooled by damaged bytes."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import zstd

from engine.errors import CorruptStore, InvalidInput
from engine.store.coding import Coded, Coding
from engine.store.prediction import Prediction

from ..laws import same_values

CODINGS = [
    Coding(),
    Coding(level=3, samples_last=False),
    Coding(planes=True),
    Coding(level=6, samples_last=False, planes=True),
    Coding("pcodec", 8, samples_last=False),
]
DTYPES = [
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "f8",
]
SHAPE = (5, 3, 4)
WHERE = "chunk 7 of verbatim/c/0"


def random_chunk(dtype, shape=SHAPE, seed=0):
    """Any bit pattern of the dtype, NaN and negative zeros too."""
    dtype = np.dtype(dtype)
    raw = np.random.default_rng(seed).bytes(int(np.prod(shape)) * dtype.itemsize)
    return np.frombuffer(raw, dtype).reshape(shape)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [SHAPE, (7,), (1, 1), (300, 200)], ids=str)
def test_any_values_come_back(coding, dtype, shape):
    chunk = random_chunk(dtype, shape)
    found = coding.decode(coding.encode(chunk), shape, chunk.dtype, WHERE)
    assert same_values(found, chunk)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_big_endian_values_come_back_as_little_endian_ones(coding):
    chunk = random_chunk("int16")
    content = coding.encode(chunk.astype(">i2"))
    assert content == coding.encode(chunk)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axes", [1, 2, 4])
def test_the_codecs_name_the_coding(coding, dtype, axes):
    dtype = np.dtype(dtype)
    codecs = json.loads(json.dumps(coding.codecs(axes, dtype)))
    found = Coding.from_codecs(codecs, axes, dtype, planes=coding.planes)
    assert found.codecs(axes, dtype) == codecs
    if axes > 1:
        assert found == coding


@pytest.mark.parametrize(
    "codecs",
    [
        [],
        [{"name": "bytes"}],
        [{"name": "gzip", "configuration": {"level": 1}}],
        [*Coding().codecs(3, np.dtype("i1")), {"name": "crc32c"}],
        Coding().codecs(3, np.dtype("i1"))[:-1],
        Coding().codecs(3, np.dtype("i1"))[1:-1],
        Coding().codecs(4, np.dtype("i1")),
        Coding().codecs(3, np.dtype("i1"))[:1]
        + Coding("pcodec", 8, samples_last=False).codecs(3, np.dtype("i1")),
    ],
)
def test_other_codecs_are_refused(codecs):
    with pytest.raises(InvalidInput):
        Coding.from_codecs(codecs, 3, np.dtype("i1"), planes=False)


@pytest.mark.parametrize(
    "options",
    [
        {"coder": "lzma"},
        {"level": 23},
        {"level": 0},
        {"level": 1.5},
        {"coder": "pcodec", "level": 13, "samples_last": False},
        {"coder": "pcodec", "level": 8},
        {"coder": "pcodec", "level": 8, "samples_last": False, "planes": True},
    ],
)
def test_what_can_not_be_read_back_is_refused(options):
    with pytest.raises(InvalidInput):
        Coding(**options)


def test_only_pcodec_is_not_portable():
    assert [coding.is_portable for coding in CODINGS] == [True, True, True, True, False]


def test_small_differences_are_zeros_above_the_lowest_byte():
    values = np.array([[0, -1], [1, -2], [127, -128]], np.int32)
    raw = zstd.decompress(Coding(planes=True).encode(values))
    lowest = [0, 2, 254, 1, 3, 255]  # folded, the samples last
    assert list(raw) == lowest + [0] * 18


def test_what_is_predicted_comes_back():
    coded = Coded(Prediction((3,), (1, 2)), CODINGS[-1])
    chunk = random_chunk("uint8", (4, 8, 8, 3))
    assert same_values(coded.decode(coded.encode(chunk), chunk.shape, chunk.dtype, WHERE), chunk)


# Hostile bytes.


def smooth_chunk(dtype="int16"):
    steps = np.random.default_rng(3).integers(-3, 4, (16, 20))
    return np.cumsum(steps, axis=1).astype(dtype)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
@settings(max_examples=150)
@given(data=st.data())
def test_damaged_bytes_are_damage_or_other_values(coding, data):
    """No checksum is left to help: what the coder can't notice decodes to as many values."""
    chunk = smooth_chunk()
    content = bytearray(coding.encode(chunk))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = coding.decode(bytes(content), chunk.shape, chunk.dtype, WHERE)
    except CorruptStore as error:
        assert str(error).startswith(WHERE)
        assert "\n" not in str(error)
    else:
        assert (found.shape, found.dtype) == (chunk.shape, chunk.dtype)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
@settings(max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated_bytes_are_damage(coding, share):
    chunk = smooth_chunk()
    content = coding.encode(chunk)
    with pytest.raises(CorruptStore, match=WHERE):
        coding.decode(content[: int(share * len(content))], chunk.shape, chunk.dtype, WHERE)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
@pytest.mark.parametrize("rows", [8, 15, 17, 4000])
def test_another_number_of_values_is_damage(coding, rows):
    content = coding.encode(np.zeros((rows, 20), np.int16))
    with pytest.raises(CorruptStore, match=WHERE):
        coding.decode(content, (16, 20), np.dtype(np.int16), WHERE)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float16"])
def test_pcodec_of_another_dtype_is_damage(dtype):
    content = CODINGS[-1].encode(smooth_chunk(dtype))
    with pytest.raises(CorruptStore, match=WHERE):
        CODINGS[-1].decode(content, (16, 20), np.dtype(np.int16), WHERE)


@pytest.mark.parametrize("coding", [CODINGS[0], CODINGS[-1]], ids=str)
def test_a_bomb_takes_no_memory(coding):
    content = coding.encode(np.zeros((1 << 10, 1 << 14), np.int32))
    tracemalloc.start()
    try:
        with pytest.raises(CorruptStore, match=WHERE):
            coding.decode(content, (16, 20), np.dtype(np.int32), WHERE)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def zstd_frame(*blocks, stated=640):
    """A frame of one segment that states its size; a block is (last, type, size, content)."""
    header = b"\x28\xb5\x2f\xfd\xa0" + stated.to_bytes(4, "little")
    return header + b"".join(
        (last | kind << 1 | size << 3).to_bytes(3, "little") + content
        for last, kind, size, content in blocks
    )


RAW, RUN, RESERVED = 0, 1, 3


def decode_640(content):
    return Coding().decode(content, (16, 20), np.dtype(np.int16), WHERE)


def test_a_frame_of_several_blocks_is_read():
    content = zstd_frame((0, RAW, 240, bytes(240)), (1, RUN, 400, b"\x07"))
    found = decode_640(content)
    assert found.tobytes() != b""
    assert np.ascontiguousarray(found.transpose(1, 0)).tobytes() == bytes(240) + b"\x07" * 400


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x28\xb5\x2f\xfd",
        zstd_frame((1, RUN, 639, b"\0")),
        zstd_frame((1, RUN, 641, b"\0")),
        zstd_frame((1, RUN, 1 << 17, b"\0")),
        zstd_frame((1, RUN, 1 << 20, b"\0"), stated=1 << 31),
        zstd_frame((0, RUN, 640, b"\0")),
        zstd_frame((1, RESERVED, 0, b"")),
        zstd_frame((1, RUN, 640, b"\0")) + b"\0",
        zstd_frame((1, RUN, 640, b"\0")) + zstd_frame((1, RAW, 0, b""), stated=0),
        zstd_frame((1, RUN, 640, b"\0")) + b"\x50\x2a\x4d\x18" + bytes(4),
        b"\x50\x2a\x4d\x18" + bytes(4) + zstd_frame((1, RUN, 640, b"\0")),
        zstd_frame((1, RUN, 640, b"\0"))[:-1],
        b"\x28\xb5\x2f\xfd\x00\x58" + zstd_frame((1, RUN, 640, b"\0"))[9:],
        b"\x28\xb5\x2f\xfd\xa3" + bytes(3) + b"\x01" + zstd_frame((1, RUN, 640, b"\0"))[5:],
    ],
    ids=[
        "empty", "magic only", "short", "long", "longer", "bomb", "no last block", "reserved block",
        "trailing byte", "second frame", "skippable after", "skippable before", "cut off",
        "no size stated", "dictionary",
    ],
)  # fmt: skip
def test_a_frame_that_lies_is_damage(content):
    with pytest.raises(CorruptStore, match=WHERE):
        decode_640(content)


@given(st.binary(max_size=60))
def test_any_bytes_are_damage(content):
    for coding in (CODINGS[0], CODINGS[-1]):
        with pytest.raises(CorruptStore, match=WHERE):
            coding.decode(content, (16, 20), np.dtype(np.int16), WHERE)
