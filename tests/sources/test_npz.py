import resource
import tempfile
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import pytest

from engine.errors import InvalidInput, StorageError
from engine.sources import open_source

ARRAY = np.random.default_rng(0).integers(0, 256, (50, 40), dtype=np.uint8)
SAVERS = [np.savez, np.savez_compressed]


@pytest.mark.parametrize("save", SAVERS)
def test_pick_by_key_or_by_path(tmp_path, save):
    path = tmp_path / "x.npz"
    save(path, **{"train/images": ARRAY, "b": ARRAY[:3]})
    for source in (open_source(path, "train/images"), open_source(f"{path}::train/images")):
        with source:
            assert source.name == "x.npz::train/images"
            np.testing.assert_array_equal(source.read(10, 20), ARRAY[10:20])


def test_several_arrays_are_listed(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, images=ARRAY, labels=ARRAY)
    with pytest.raises(InvalidInput, match=r"holds 2 arrays; pick one.*found images, labels"):
        open_source(path)
    with pytest.raises(InvalidInput, match="no array named 'nope' in it; found images, labels"):
        open_source(f"{path}::nope")


def test_a_plain_path_wins_over_a_name(tmp_path):
    path = tmp_path / "a::b.npz"
    np.savez(path, ARRAY)
    with open_source(path) as source:
        assert source.name == "a::b.npz::arr_0"


def test_an_archive_without_arrays(tmp_path):
    with ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(InvalidInput, match=r"x\.npz: expected an array in it, found none"):
        open_source(tmp_path / "x.npz")


@pytest.mark.parametrize("save", SAVERS)
def test_truncated_archive(tmp_path, save):
    path = tmp_path / "x.npz"
    save(path, ARRAY)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InvalidInput, match=r"x\.npz: damaged \.npz archive"):
        open_source(path)


@pytest.mark.parametrize("compression", [ZIP_STORED, ZIP_DEFLATED])
def test_truncated_member(tmp_path, compression):
    np.save(tmp_path / "x.npy", ARRAY)
    with ZipFile(tmp_path / "x.npz", "w", compression) as archive:
        archive.writestr("x.npy", (tmp_path / "x.npy").read_bytes()[:-7])
    with pytest.raises(InvalidInput, match="truncated, expected 2128 bytes, found 2121"):
        open_source(tmp_path / "x.npz")


def test_damaged_compressed_bytes(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, ARRAY)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(InvalidInput, match="damaged"):
        open_source(path)


@pytest.mark.parametrize("save", SAVERS)
def test_objects_are_refused_without_unpickling(tmp_path, save):
    save(tmp_path / "x.npz", np.array([[{}], [[]]], dtype=object))
    with pytest.raises(InvalidInput, match="found dtype object"):
        open_source(tmp_path / "x.npz")


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    np.savez_compressed(tmp_path / "x.npz", ARRAY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StorageError, match=f"2000 bytes in {tmp_path}.*set TMPDIR"):
            open_source(tmp_path / "x.npz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
