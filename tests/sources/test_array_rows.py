import numpy as np
import pytest
import torch
import zarr

from engine.errors import CorruptStore, InvalidInput, StorageError
from engine.sources import open_source

ARRAY = np.arange(60, dtype=np.float32).reshape(10, 3, 2)


class Sliced:
    """An array-like that reads lazily and may fail, as one on a disk would."""

    shape = ARRAY.shape
    dtype = ARRAY.dtype

    def __init__(self, error=None):
        self.error = error

    def __getitem__(self, rows):
        if self.error and rows.stop > 5:
            raise self.error
        return ARRAY[rows]


@pytest.mark.parametrize("data", [torch.from_numpy(ARRAY), Sliced(), ARRAY.tolist(), list(ARRAY)])
def test_array_likes(data):
    source = open_source(data)
    assert source.shape == ARRAY.shape
    np.testing.assert_array_equal(source.read(2, 7), ARRAY[2:7])


def test_an_array_in_memory_is_not_copied():
    assert np.shares_memory(open_source(ARRAY).read(2, 7), ARRAY)


def test_a_written_memory_map_is_seen(tmp_path):
    array = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.int16, (10, 3))
    with open_source(array) as source:
        array[:] = 7
        assert (source.read(0, 10) == 7).all()


def test_copy_on_write_changes_are_kept(tmp_path):
    np.save(tmp_path / "x.npy", ARRAY)
    array = np.load(tmp_path / "x.npy", mmap_mode="c")
    array += 1
    np.testing.assert_array_equal(open_source(array).read(0, 10), ARRAY + 1)


def test_a_memory_map_whose_file_is_gone(tmp_path):
    np.save(tmp_path / "x.npy", ARRAY)
    array = np.load(tmp_path / "x.npy", mmap_mode="r")
    (tmp_path / "x.npy").unlink()
    np.testing.assert_array_equal(open_source(array).read(0, 10), ARRAY)


def test_what_the_file_system_refuses():
    with pytest.raises(StorageError, match=r"Sliced: rows 2:7 can't be read \(disk on fire\)"):
        open_source(Sliced(OSError("disk\non fire"))).read(2, 7)


def test_what_the_library_refuses():
    with pytest.raises(InvalidInput, match=r"Sliced: rows 2:7 can't be read \(no such codec\)"):
        open_source(Sliced(RuntimeError("no such codec"))).read(2, 7)


def test_errors_of_the_engine_pass():
    with pytest.raises(CorruptStore, match="shard 3"):
        open_source(Sliced(CorruptStore("shard 3"))).read(2, 7)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([[1, 2], [3]], "list: expected an array-like"),
        ([["a"], [None]], "list: expected integers and floats.*found dtype object"),
        (None, "NoneType: expected an array of samples, found a single value"),
        (3.5, "float: expected an array of samples"),
        ([], "list: a dataset needs at least two axes"),
        (np.zeros((0, 3)), "ndarray: expected at least one sample"),
        (np.zeros((3, 2), complex), "ndarray: .*complex128; store real and imaginary"),
        (torch.zeros((3, 2), requires_grad=True), "Tensor: rows 0:1 can't be read .*detach"),
        (torch.zeros((3, 2), dtype=torch.bfloat16), "Tensor: rows 0:1 can't be read"),
        (np.ma.masked_equal(ARRAY, 3), "MaskedArray: .*pass .filled"),
        ({"images": ARRAY}, "dict: holds arrays by name; pass one of them"),
        (zarr.create_group({}), "Group: holds arrays by name"),
    ],
)
def test_what_is_no_dataset(data, message):
    with pytest.raises(InvalidInput, match=message):
        open_source(data)


def test_a_key_makes_no_sense_for_an_array():
    with pytest.raises(InvalidInput, match="leave out key='x'"):
        open_source(ARRAY, "x")


def test_rows_that_change_their_dtype_are_refused():
    class Changing:
        shape, dtype = (10, 3), np.dtype(np.uint8)

        def __getitem__(self, rows):
            taken = np.zeros((10, 3), np.uint8)[rows]
            return taken + 300.7 if rows.start else taken

    with pytest.raises(InvalidInput, match="are float64, the first were uint8"):
        open_source(Changing()).read(5, 9)
