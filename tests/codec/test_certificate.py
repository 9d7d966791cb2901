import dataclasses
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import CorruptCodec, InvalidInput
from engine.codec.certificate import Certificate, read_certificate, uncertified_reason
from engine.codec.files import CERTIFICATE, CodecFiles, file_entry
from engine.codec.manifest import LatentFormat

PROBES, POSITIONS, ELEMENTS = 3, 4, 30
HEADER_BYTES = 40
LATENTS = {bits: LatentFormat((2, 5), bits, (1.0, 1.0), (0.0, 0.0)) for bits in (8, 16)}


def certificate(bits=8, **changes):
    rng, latent = np.random.default_rng(0), LATENTS[bits]
    values = {
        "step": 0.5,
        "latents": rng.integers(-latent.limit, latent.limit, (PROBES, 2, 5)).astype(latent.dtype),
        "positions": np.array([[0, 1, 2, 3], [7, 11, 12, 29], [3, 4, 5, 28]], np.uint32),
        "reference": rng.normal(size=(PROBES, POSITIONS)),
        "deviation": 1e-6,
        "tolerance": 8e-6,
    }
    return Certificate(**values | changes)


@pytest.mark.parametrize("bits", [8, 16])
def test_bytes_round_trip(bits):
    made = certificate(bits)
    content = made.to_bytes()
    assert len(content) == HEADER_BYTES + PROBES * (POSITIONS * 12 + 10 * bits // 8)
    read = Certificate.from_bytes(content, LATENTS[bits], ELEMENTS)
    for field in dataclasses.fields(made):
        before, after = getattr(made, field.name), getattr(read, field.name)
        np.testing.assert_array_equal(before, after)
        assert getattr(before, "dtype", None) == getattr(after, "dtype", None)
    assert read.to_bytes() == content


def test_what_it_accepts():
    made = certificate()
    assert made.accepted == 9e-6
    assert made.room == 2 * made.accepted


def test_what_it_covers():
    probes = np.zeros((PROBES, 2, 5), np.int8)
    probes[0, 0, 2], probes[2, 0, 4], probes[1, 1] = 40, -7, 3
    covers = certificate(latents=probes).covers
    latents = np.zeros((6, 2, 5), np.int8)
    latents[1, 0], latents[2, 0, 0], latents[3, 0, 0] = 40, 41, -8
    latents[4, 1, 4], latents[5, 1, 4] = 3, -1
    assert covers(latents).tolist() == [True, True, False, False, True, False]
    assert covers(latents[:0]).tolist() == []


def header(version=1, probes=PROBES, positions=POSITIONS, zero=0, numbers=(0.5, 1e-6, 8e-6)):
    content = certificate().to_bytes()
    return struct.pack("<4I3d", version, probes, positions, zero, *numbers) + content[HEADER_BYTES:]


def array_changed(offset, code, value):
    content = bytearray(certificate().to_bytes())
    struct.pack_into(code, content, offset, value)
    return bytes(content)


POSITIONS_AT = HEADER_BYTES + 8 * PROBES * POSITIONS
LATENTS_AT = POSITIONS_AT + 4 * PROBES * POSITIONS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected 40 bytes or more, found 0"),
        (certificate().to_bytes()[:39], "expected 40 bytes or more, found 39"),
        (certificate().to_bytes()[:-1], "expected 214 bytes, found 213"),
        (certificate().to_bytes() + b"\0", "expected 214 bytes, found 215"),
        (header(version=2), "expected version 1, found 2"),
        (header(zero=1), "expected version 1"),
        (header(probes=0), "expected 1 to 256 probes"),
        (header(probes=257), "expected 1 to 256 probes"),
        (header(probes=0xFFFFFFFF, positions=0xFFFFFFFF), "1 to 30 positions each, found 4294967"),
        (header(positions=0), "1 to 30 positions"),
        (header(positions=31), "1 to 30 positions"),
        (header(probes=256, positions=30), "expected 94760 bytes, found 214"),
        (header(numbers=(np.nan, 1e-6, 8e-6)), "finite"),
        (header(numbers=(0.5, np.inf, 8e-6)), "finite"),
        (header(numbers=(0.5, 1e-6, np.nan)), "finite"),
        (header(numbers=(0.5, 1e-6, 1.7e308)), "finite"),
        (header(numbers=(0.0, 1e-6, 8e-6)), "step and tolerance above 0"),
        (header(numbers=(0.5, -1e-6, 8e-6)), "no negative deviation"),
        (header(numbers=(0.5, 1e-6, 0.0)), "step and tolerance above 0"),
        (array_changed(HEADER_BYTES, "<d", np.nan), "finite"),
        (array_changed(POSITIONS_AT + 12, "<I", 30), "positions below 30, found 30"),
        (array_changed(POSITIONS_AT, "<I", 0xFFFFFFFF), "positions below 30, found 4294967295"),
        (array_changed(POSITIONS_AT, "<I", 1), "ascending order"),
        (array_changed(LATENTS_AT, "<b", -128), "a latent that no encoder writes"),
    ],
)
def test_hostile_bytes_are_refused(content, message):
    with pytest.raises(CorruptCodec, match=f"the drift certificate is damaged: .*{message}") as e:
        Certificate.from_bytes(content, LATENTS[8], ELEMENTS)
    assert len(str(e.value).splitlines()) == 1


@given(st.integers(0, 213), st.binary(min_size=1, max_size=8))
def test_whatever_is_read_makes_sense_or_is_refused(offset, noise):
    content = bytearray(certificate().to_bytes())
    content[offset : offset + len(noise)] = noise
    try:
        read = Certificate.from_bytes(bytes(content), LATENTS[8], ELEMENTS)
    except CorruptCodec:
        return
    assert read.positions.max() < ELEMENTS
    assert np.isfinite(read.reference).all()
    assert 0 < read.accepted < np.inf
    assert read.to_bytes() == bytes(content)


def test_a_certificate_of_nonsense_is_never_made():
    with pytest.raises(InvalidInput, match="finite"):
        certificate(deviation=np.nan)
    with pytest.raises(InvalidInput, match="ascending"):
        certificate(positions=np.zeros((PROBES, POSITIONS), np.uint32))


def without_certificate(files, **measured):
    entries = tuple(entry for entry in files.manifest.files if entry.role != CERTIFICATE)
    manifest = dataclasses.replace(files.manifest, files=entries, calibration=measured)
    return CodecFiles(manifest, files.contents)


def test_a_codec_with_a_certificate(digits_codec):
    files = digits_codec.files
    read = read_certificate(files)
    assert read.to_bytes() == files.role(CERTIFICATE)
    assert read.latents.shape[1:] == digits_codec.latent_shape


def test_a_codec_with_a_damaged_certificate(digits_codec):
    entry = file_entry("probes.bin", CERTIFICATE, b"garbage")
    bare = without_certificate(digits_codec.files)
    manifest = dataclasses.replace(bare.manifest, files=(*bare.manifest.files, entry))
    damaged = CodecFiles(manifest, {**bare.contents, "probes.bin": b"garbage"})
    with pytest.raises(CorruptCodec, match="certificate is damaged"):
        read_certificate(damaged)


def test_a_copy_that_was_stored_without_its_certificate(digits_codec):
    files = digits_codec.files
    contents = {name: files.contents[name] for name in files.contents if name != "probes.bin"}
    with pytest.raises(CorruptCodec, match=r"without its certificate \(probes.bin\)"):
        read_certificate(CodecFiles(files.manifest, contents))


def test_a_codec_without_a_certificate_says_why(digits_codec):
    bare = without_certificate(digits_codec.files)
    assert read_certificate(bare) is None
    assert uncertified_reason(bare.manifest) == "it was packed without; pack it again"
    told = without_certificate(digits_codec.files, uncertified="its decoder\nrounds" + "!" * 999)
    assert uncertified_reason(told.manifest).startswith("its decoder rounds!")
    assert len(uncertified_reason(told.manifest)) == 200
