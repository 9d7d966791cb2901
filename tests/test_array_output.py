import numpy as np
import pytest
import zarr

from engine import InvalidInput, StorageError
from engine.array_output import check_output, write_array

DTYPES = ["u1", "i1", "u2", "i4", "u8", "f2", "f4", "f8"]


def blocks(array, size=3):
    return (array[start : start + size] for start in range(0, len(array), size))


def read(path):
    return np.load(path) if path.suffix == ".npy" else zarr.open_array(path, mode="r")[:]


@pytest.mark.parametrize("name", ["x.npy", "x.zarr"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7, 2, 3), (1, 5), (0, 4), (3, 1, 1, 1)])
def test_round_trip(tmp_path, name, dtype, shape):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    write_array(tmp_path / name, blocks(array), shape, array.dtype)
    found = read(tmp_path / name)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_large_rows_are_chunks_of_their_own(tmp_path):
    array = np.zeros((3, 2**19), np.float32)
    write_array(tmp_path / "x.zarr", blocks(array), array.shape, array.dtype)
    assert zarr.open_array(tmp_path / "x.zarr").chunks == (1, 2**19)


@pytest.mark.parametrize("name", ["x.npy", "x.zarr"])
def test_overwriting(tmp_path, name):
    check_output(tmp_path / name, overwrite=False)
    for value in (1, 2):
        array = np.full((4, 2), value)
        write_array(tmp_path / name, blocks(array), array.shape, array.dtype)
    np.testing.assert_array_equal(read(tmp_path / name), array)
    check_output(tmp_path / name, overwrite=True)
    with pytest.raises(InvalidInput, match="--overwrite"):
        check_output(tmp_path / name, overwrite=False)


@pytest.mark.parametrize("name", ["x.npy", "x.zarr"])
def test_a_failure_among_the_blocks_keeps_what_was_there(tmp_path, name):
    def failing():
        yield np.ones((2, 2))
        raise InvalidInput("sample 2 holds nan")

    old = np.zeros((4, 2))
    write_array(tmp_path / name, blocks(old), old.shape, old.dtype)
    with pytest.raises(InvalidInput, match="sample 2"):
        write_array(tmp_path / name, failing(), (4, 2), old.dtype)
    np.testing.assert_array_equal(read(tmp_path / name), old)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["x", "x.npz", "x.csv", "npy"])
def test_other_endings_are_refused(tmp_path, name):
    with pytest.raises(InvalidInput, match=r"must end in \.npy or \.zarr"):
        check_output(tmp_path / name, overwrite=True)


def test_only_arrays_are_overwritten(tmp_path):
    zarr.create_group(tmp_path / "store.zarr")
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "file.zarr").touch()
    for path in tmp_path.iterdir():
        with pytest.raises(InvalidInput, match="exists and is not an array"):
            check_output(path, overwrite=True)


def test_a_file_in_the_place_of_the_parent_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    array = np.zeros((4, 2))
    with pytest.raises(StorageError, match=r"x\.npy: can't write it: .+"):
        write_array(tmp_path / "file" / "x.npy", blocks(array), array.shape, array.dtype)


def test_a_name_that_no_file_system_takes_is_one_line(tmp_path):
    with pytest.raises(StorageError, match="name too long"):
        check_output(tmp_path / f"{'x' * 300}.npy", overwrite=False)
