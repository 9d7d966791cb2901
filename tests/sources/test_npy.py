import numpy as np
import pytest

from engine.errors import InvalidInput, StorageError
from engine.sources import open_source

ARRAY = np.arange(60, dtype=np.float32).reshape(10, 3, 2)


def saved(tmp_path, array=ARRAY):
    np.save(tmp_path / "x.npy", array)
    return tmp_path / "x.npy"


def test_named_after_the_file(tmp_path):
    with open_source(str(saved(tmp_path))) as source:
        assert source.name == "x.npy"


def test_the_name_does_not_matter(tmp_path):
    path = saved(tmp_path).rename(tmp_path / "x.dat")
    with open_source(path) as source:
        np.testing.assert_array_equal(source.read(0, 10), ARRAY)


def test_reads_are_mapped_not_copied(tmp_path):
    with open_source(saved(tmp_path)) as source:
        assert not source.read(2, 5).flags.writeable
        assert not source.read(2, 5).flags.owndata


def test_fortran_order_in_several_blocks_of_columns(tmp_path):
    array = np.random.default_rng(0).integers(0, 9, (300_000, 2, 5), dtype=np.int8)
    with open_source(saved(tmp_path, np.asfortranarray(array))) as source:
        np.testing.assert_array_equal(source.read(299_000, 300_000), array[299_000:])


def test_truncated(tmp_path):
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InvalidInput, match=r"x\.npy: truncated, expected 368 bytes, found 367"):
        open_source(path)


@pytest.mark.parametrize("length", [7, 9, 40, 100])
def test_truncated_in_the_header(tmp_path, length):
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InvalidInput, match=r"x\.npy: damaged \.npy header"):
        open_source(path)


def test_objects_are_refused_without_unpickling(tmp_path):
    path = saved(tmp_path, np.array([[{}], [[]]], dtype=object))
    with pytest.raises(InvalidInput, match="found dtype object"):
        open_source(path)


def test_records_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="found dtype"):
        open_source(saved(tmp_path, np.zeros(3, "i4,f4")))


@pytest.mark.parametrize("array", [np.float32(1), np.zeros(3), np.zeros((0, 3)), np.zeros((3, 0))])
def test_no_samples(tmp_path, array):
    with pytest.raises(InvalidInput, match=r"x\.npy: "):
        open_source(saved(tmp_path, array))


def test_a_file_that_shrinks_is_an_error_not_a_crash(tmp_path):
    path = saved(tmp_path)
    with open_source(path) as source:
        with path.open("r+b") as file:
            file.truncate(200)
        with pytest.raises(StorageError, match=r"shrank.*expected 368 bytes, found 200"):
            source.read(0, 10)


def test_a_file_that_is_replaced_still_reads_the_old_one(tmp_path):
    path = saved(tmp_path)
    with open_source(path) as source:
        path.unlink()
        saved(tmp_path, ARRAY + 1)
        np.testing.assert_array_equal(source.read(0, 10), ARRAY)


def test_read_after_close(tmp_path):
    source = open_source(saved(tmp_path))
    source.close()
    source.close()
    with pytest.raises(ValueError, match=r"x\.npy: read after close"):
        source.read(0, 1)
