import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from engine.errors import InvalidInput, StorageError
from engine.sources import open_source

GENERATOR = np.random.default_rng(0)
GRAY = GENERATOR.integers(0, 256, (3, 9, 7), dtype=np.uint8)
RGB = GENERATOR.integers(0, 256, (3, 9, 7, 3), dtype=np.uint8)
RGBA = GENERATOR.integers(0, 256, (3, 9, 7, 4), dtype=np.uint8)
DEEP = GENERATOR.integers(0, 65536, (3, 9, 7), dtype=np.uint16)


def save_all(folder, images, suffix=".png", **options):
    for row, pixels in enumerate(images):
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        image.save(folder / f"{row}{suffix}", **options)
    return folder


def read_all(folder):
    with open_source(folder) as source:
        return source.read(0, len(source))


@pytest.mark.parametrize(
    ("pixels", "suffixes"),
    [
        (GRAY, [".png", ".tif", ".tiff", ".bmp", ".pgm", ".PNG"]),
        (RGB, [".png", ".tif", ".bmp", ".ppm"]),
        (RGBA, [".png", ".tif"]),
        (DEEP, [".png", ".tif", ".pgm"]),
        (GRAY.astype(np.int32) * -70_000, [".tif"]),
        (GRAY.astype(np.float32) / 7, [".tif"]),
    ],
    ids=["gray", "rgb", "rgba", "gray16", "int32", "float32"],
)
def test_lossless_formats_keep_every_pixel(tmp_path, pixels, suffixes):
    for suffix in suffixes:
        folder = tmp_path / suffix
        folder.mkdir()
        read = read_all(save_all(folder, pixels, suffix))
        assert read.dtype == pixels.dtype
        np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize(("suffix", "options"), [(".jpg", {}), (".jpeg", {}), (".webp", {})])
def test_lossy_formats_read_as_pillow_decodes_them(tmp_path, suffix, options):
    save_all(tmp_path, RGB, suffix, **options)
    expected = [np.asarray(Image.open(tmp_path / f"{row}{suffix}")) for row in range(3)]
    np.testing.assert_array_equal(read_all(tmp_path), expected)


def test_natural_order_and_only_images(tmp_path):
    for row, name in enumerate(["a2.png", "a10.png", "b1.png"]):
        Image.fromarray(GRAY[row]).save(tmp_path / name)
    for name in ("notes.txt", ".hidden.png", "labels.csv"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "more").mkdir()
    np.testing.assert_array_equal(read_all(tmp_path), GRAY)


def test_palettes_become_rgb(tmp_path):
    palettes = [Image.fromarray(pixels).quantize(16) for pixels in RGB]
    expected = [np.asarray(image.convert("RGB")) for image in palettes]
    for suffix in (".png", ".gif"):
        folder = tmp_path / suffix
        folder.mkdir()
        np.testing.assert_array_equal(read_all(save_all(folder, palettes, suffix)), expected)


def test_transparent_palettes_become_rgb_without_a_warning(tmp_path):
    palette = Image.fromarray(RGB[0]).quantize(16)
    save_all(tmp_path, [palette], transparency=bytes(16))
    np.testing.assert_array_equal(read_all(tmp_path), [np.asarray(palette.convert("RGB"))])


def test_bilevel_and_gray_with_alpha(tmp_path):
    (tmp_path / "1").mkdir()
    read = read_all(save_all(tmp_path / "1", GRAY > 100))
    np.testing.assert_array_equal(read, np.where(GRAY > 100, np.uint8(255), np.uint8(0)))
    (tmp_path / "la").mkdir()
    read = read_all(save_all(tmp_path / "la", GENERATOR.integers(0, 256, (2, 9, 7, 2), np.uint8)))
    assert read.shape == (2, 9, 7, 4)


@pytest.mark.parametrize(
    ("misfit", "found"), [(GRAY[0, :5], r"\(5, 7\) uint8"), (DEEP[0], r"\(9, 7\) uint16")]
)
def test_the_first_misfit_is_named_with_both_shapes(tmp_path, misfit, found):
    save_all(tmp_path, [*GRAY, misfit, misfit])
    with pytest.raises(InvalidInput, match=rf"3\.png: expected shape \(9, 7\) uint8 .*{found}"):
        open_source(tmp_path)


def test_no_images(tmp_path):
    with pytest.raises(InvalidInput, match=r"Zarr array or images \(\.png, .*found none"):
        open_source(tmp_path)


def test_damaged_header(tmp_path):
    save_all(tmp_path, GRAY)
    (tmp_path / "1.png").write_bytes(b"nothing")
    with pytest.raises(InvalidInput, match=r"1\.png: can't be read as an image"):
        open_source(tmp_path)


def test_damaged_pixels(tmp_path):
    save_all(tmp_path, RGB, ".bmp")
    (tmp_path / "1.bmp").write_bytes((tmp_path / "1.bmp").read_bytes()[:-20])
    with open_source(tmp_path) as source:
        np.testing.assert_array_equal(source.read(0, 1), RGB[:1])
        with pytest.raises(InvalidInput, match=r"1\.bmp: can't be read as an image"):
            source.read(0, 3)


def test_an_image_that_changes_or_goes(tmp_path):
    save_all(tmp_path, GRAY)
    with open_source(tmp_path) as source:
        Image.fromarray(DEEP[0]).save(tmp_path / "1.png")
        with pytest.raises(InvalidInput, match=r"1\.png: .*changed while read"):
            source.read(0, 3)
        (tmp_path / "1.png").unlink()
        with pytest.raises(StorageError, match="rows 0:3 can't be read"):
            source.read(0, 3)


def test_decompression_bombs(tmp_path, monkeypatch):
    save_all(tmp_path, GRAY)
    for limit in (50, 10):  # Pillow warns above the limit and raises above twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(InvalidInput, match=r"0\.png: .*decompression bomb"):
            open_source(tmp_path)


def test_frames_are_not_dropped(tmp_path):
    frames = [Image.fromarray(pixels) for pixels in GRAY]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(InvalidInput, match=r"x\.gif: .*found 3 frames"):
        open_source(tmp_path)


def png_of_16_bit_rgb():
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    rows = zlib.compress(2 * bytes(1 + 2 * 6))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.png", png_of_16_bit_rgb()), ("x.ppm", b"P6 2 1 65535\n" + bytes(12))],
)
def test_16_bit_colour_is_not_cut_to_8(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=f"{name}: expected gray, or RGB or RGBA of 8 bits"):
        open_source(tmp_path)


def test_cmyk_is_refused(tmp_path):
    Image.new("CMYK", (4, 4)).save(tmp_path / "x.jpg")
    with pytest.raises(InvalidInput, match="Pillow mode CMYK"):
        open_source(tmp_path)
