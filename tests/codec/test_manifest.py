import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import CorruptCodec, IncompatibleStore, InvalidInput
from engine.codec.manifest import MAX_MANIFEST_BYTES, FileEntry, LatentFormat, Manifest
from engine.codec.sample_format import DTYPES, SampleFormat

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
SIZES = st.integers(1, 2**40)
UNLIMITED = 1 << 200
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def samples(draw):
    shape = tuple(draw(st.lists(SIZES, min_size=1, max_size=4)))
    low = draw(st.floats(-1e6, 1e6))
    return SampleFormat(
        shape,
        draw(st.sampled_from(list(DTYPES.values()))),
        shape,
        (low, low + draw(st.floats(1.0, 1e6))),
        draw(st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0, 255)])),
    )


@st.composite
def latents(draw):
    shape = (draw(st.integers(1, 4)), *draw(st.lists(SIZES, max_size=3)))
    scale = draw(st.lists(st.floats(1e-30, 1e30), min_size=shape[0], max_size=shape[0]))
    offset = draw(st.lists(NUMBERS, min_size=shape[0], max_size=shape[0]))
    return LatentFormat(shape, draw(st.sampled_from([8, 16])), tuple(scale), tuple(offset))


@st.composite
def manifests(draw):
    names = draw(st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,5}\.onnx", fullmatch=True), unique=True))
    files = tuple(FileEntry(name, draw(st.text()), draw(SIZES), "0" * 64) for name in names)
    record = draw(st.dictionaries(st.text(), st.text() | st.integers() | NUMBERS | st.none()))
    return Manifest(draw(samples()), draw(latents()), files, {"psnr_db": None}, record)


VALID = Manifest(
    SampleFormat((4, 6, 3), np.dtype("u2"), (3, 4, 6), (0.0, 9.0), channels_last=True),
    LatentFormat((2, 3), 8, (0.5, 0.25), (0.0, 1.0)),
    (FileEntry("encoder.onnx", "encoder", 10, "a" * 64),),
    {"psnr_db": 20.5},
    {"arch": "conv"},
)


@given(manifests())
def test_json_round_trip(manifest):
    text = manifest.to_json()
    read = Manifest.from_json(text, UNLIMITED)
    assert read == manifest
    assert read.to_json() == text
    assert text.endswith(b"}\n")


def places(document, path=()):
    """Paths to every value inside a JSON document, itself included."""
    yield path
    if isinstance(document, dict | list):
        keys = document if isinstance(document, dict) else range(len(document))
        for key in keys:
            yield from places(document[key], (*path, key))


def mutated(document, path, change):
    if not path:
        return change(document)
    copy = document.copy()
    copy[path[0]] = mutated(document[path[0]], path[1:], change)
    return copy


def removed(document, path):
    def drop(container):
        copy = container.copy()
        del copy[path[-1]]
        return copy

    return mutated(document, path[:-1], drop)


def read_or_refuse(text):
    """The manifest, or None where it was refused the way that damage has to be."""
    try:
        manifest = Manifest.from_json(text)
    except (CorruptCodec, IncompatibleStore) as error:
        assert len(str(error).splitlines()) == 1
        return None
    manifest.to_json()
    return manifest


@given(st.sampled_from(list(places(json.loads(VALID.to_json())))), JSON)
def test_any_value_in_the_place_of_another_is_refused_or_means_something(path, value):
    document = mutated(json.loads(VALID.to_json()), path, lambda _: value)
    read_or_refuse(json.dumps(document).encode())


FIELDS = [
    path
    for path in places(json.loads(VALID.to_json()))
    if path and isinstance(path[-1], str) and path[1:] not in [("psnr_db",), ("arch",)]
]


@pytest.mark.parametrize("path", [*FIELDS, ("latent", "scale", 0)], ids=str)
def test_what_is_missing_is_noticed(path):
    document = removed(json.loads(VALID.to_json()), path)
    assert read_or_refuse(json.dumps(document).encode()) is None


@given(st.integers(0, len(VALID.to_json()) - 2))
def test_truncated_text_is_refused(length):
    assert read_or_refuse(VALID.to_json()[:length]) is None


@given(st.integers(0, len(VALID.to_json()) - 1), st.integers(0, 255))
def test_any_byte_in_the_place_of_another_is_refused_or_means_something(position, byte):
    text = bytearray(VALID.to_json())
    text[position] = byte
    read_or_refuse(bytes(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"encoder.onnx"', '"../encoder.onnx"'),
        ('"encoder.onnx"', '"/etc/passwd"'),
        ('"encoder.onnx"', '"a/b"'),
        ('"encoder.onnx"', r'"a\\b"'),
        ('"encoder.onnx"', '".."'),
        ('"encoder.onnx"', '""'),
        ('"encoder.onnx"', r'"a\u0000"'),
        ('"encoder.onnx"', r'"a\n"'),
        ('"encoder.onnx"', "5"),
        ('"uint16"', "null"),
        ('"uint16"', '"object"'),
        ('"uint16"', '"complex64"'),
        ('"uint16"', '"M8[s]"'),
        ('"conv"', "NaN"),
        ('"conv"', "1e999"),
        ("20.5", "-Infinity"),
        ("0.25", "0"),
        ("0.25", "-1"),
        ("0.25", "1e39"),
        ("0.25", "true"),
        ("9.0", "-9.0"),
        ("9.0", "1" + "0" * 400),
        ('"bits": 8', '"bits": 8.0'),
        ('"bits": 8', '"bits": 32'),
        ('"bits": 8', '"bits": "8"'),
        ('"channels_last": true', '"channels_last": 1'),
        ('"format": 1', '"format": true'),
        ('"format": 1', '"format": "2"'),
        ('"conv"', "[" * 100_000),
        ('"conv"', "1" * 101),
        ('"arch"', '"arch": 1, "arch"'),
        ('"' + "a" * 64, '"' + "A" * 64),
        ('"' + "a" * 64, '"' + "a" * 63),
        ('"size_bytes": 10', '"size_bytes": -10'),
        ('"encoder.onnx"', '"manifest.json"'),
        ('"encoder.onnx"', '"' + "x" * 256 + '"'),
    ],
)
def test_damage_is_refused(old, new):
    text = VALID.to_json().decode()
    assert text.count(old) == 1
    assert read_or_refuse(text.replace(old, new).encode()) is None


def test_a_later_format_is_named():
    text = VALID.to_json().replace(b'"format": 1', b'"format": 2')
    with pytest.raises(IncompatibleStore, match=r"format version 2.*update the engine"):
        Manifest.from_json(text)


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b'"text"', b"\xff\xfe", b"{}", b"7"])
def test_what_is_no_manifest_is_refused(text):
    with pytest.raises(CorruptCodec, match="not a codec's manifest"):
        Manifest.from_json(text)


def test_files_are_found_by_role():
    assert VALID.file("encoder").name == "encoder.onnx"
    with pytest.raises(CorruptCodec, match="role 'decoder'"):
        VALID.file("decoder")


def test_two_files_of_one_name_are_refused():
    entry = VALID.files[0]
    with pytest.raises(InvalidInput, match=r"encoder\.onnx"):
        Manifest(VALID.sample, VALID.latent, (entry, entry))


@pytest.mark.parametrize(
    ("shape", "scale", "offset", "message"),
    [
        ((), (), (), "positive sizes"),
        ((0,), (), (), "positive sizes"),
        ((2,), (1.0,), (0.0, 0.0), "need 2 scales"),
        ((1,), (0.0,), (0.0,), "above 0"),
        ((1,), (1.0,), (np.inf,), "finite offsets"),
    ],
)
def test_latents_that_contradict_themselves_are_refused(shape, scale, offset, message):
    with pytest.raises(InvalidInput, match=message):
        LatentFormat(shape, 8, scale, offset)


def test_latents_of_each_width():
    narrow, wide = (LatentFormat((2, 3), bits, (0.5, 2.0), (1.0, -1.0)) for bits in (8, 16))
    assert (narrow.dtype, narrow.limit, narrow.fill_value) == (np.int8, 127, -128)
    assert (wide.dtype, wide.limit, wide.fill_value) == (np.int16, 32767, -32768)
    assert (narrow.size_bytes, wide.size_bytes) == (6, 12)
    values = narrow.dequantise(np.array([[[0, 1, -127], [3, 0, 127]]], np.int8), step=2.0)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[[1, 2, -126], [11, -1, 507]]])


def test_the_caller_says_what_a_codec_may_take():
    """144 bytes a sample, 6 of latents, 10 in files."""
    text = VALID.to_json()
    assert Manifest.from_json(text, 144) == VALID
    with pytest.raises(CorruptCodec, match=r"one sample of the codec takes 144 bytes.*at most 143"):
        Manifest.from_json(text, 143)
    larger = text.replace(b'"size_bytes": 10', b'"size_bytes": 145')
    with pytest.raises(CorruptCodec, match=r"the codec in its files takes 145 bytes.*max_memory"):
        Manifest.from_json(larger, 144)
    deeper = text.replace(b"   2,\n   3\n", b"   2,\n   300\n")
    with pytest.raises(CorruptCodec, match=r"latents of the codec takes 600 bytes.*--max-memory"):
        Manifest.from_json(deeper, 144)


def test_a_manifest_of_absurd_length_is_not_parsed():
    with pytest.raises(CorruptCodec, match="a codec's has at most"):
        Manifest.from_json(b" " * MAX_MANIFEST_BYTES + VALID.to_json())


def test_members_of_files_that_are_not_known_are_ignored():
    text = VALID.to_json().replace(b'"role":', b'"added_later": [1],"role":')
    assert Manifest.from_json(text) == VALID


def test_what_a_refusal_says_is_short():
    for lie in ('"' + "x" * 9999 + '"', "[" + "1," * 9999 + "1]", "1" + "0" * 99):
        for old in ('"uint16"', '"encoder.onnx"', '"format": 1'):
            new = f'"format": {lie}' if "format" in old else lie
            with pytest.raises((CorruptCodec, IncompatibleStore)) as raised:
                Manifest.from_json(VALID.to_json().replace(old.encode(), new.encode()))
            assert len(str(raised.value)) < 500
