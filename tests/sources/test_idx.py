import gzip

import numpy as np
import pytest

from engine.errors import InvalidInput
from engine.sources import open_source

from .writers import IDX_CODES, idx_bytes

ARRAY = np.random.default_rng(0).integers(0, 100, (50, 4, 3), dtype=np.uint8)


@pytest.mark.parametrize("dtype", IDX_CODES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_dtype(tmp_path, dtype, pack):
    (tmp_path / "x").write_bytes(pack(idx_bytes(ARRAY.astype(dtype))))
    with open_source(tmp_path / "x") as source:
        assert source.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(source.read(3, 9), ARRAY[3:9])


def test_labels(tmp_path):
    (tmp_path / "labels-idx1-ubyte").write_bytes(idx_bytes(ARRAY[:, 0, 0]))
    with open_source(tmp_path / "labels-idx1-ubyte", dtypes="any") as source:
        np.testing.assert_array_equal(source.read(0, 50), ARRAY[:, 0, 0])


def test_truncated(tmp_path):
    (tmp_path / "x.idx").write_bytes(idx_bytes(ARRAY)[:-2])
    with pytest.raises(InvalidInput, match=r"x\.idx: truncated, expected 616 bytes, found 614"):
        open_source(tmp_path / "x.idx")


def test_truncated_in_the_header(tmp_path):
    (tmp_path / "x.idx").write_bytes(idx_bytes(ARRAY)[:10])
    with pytest.raises(InvalidInput, match="expected a header of 16 bytes, found 10"):
        open_source(tmp_path / "x.idx")


def test_truncated_inside_gzip(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(idx_bytes(ARRAY)[:-2]))
    with pytest.raises(InvalidInput, match="expected 600 bytes of elements, found 598"):
        open_source(tmp_path / "x.gz")


@pytest.mark.parametrize("length", [5, 15, 100, -3])
def test_truncated_gzip(tmp_path, length):
    (tmp_path / "x.gz").write_bytes(gzip.compress(idx_bytes(ARRAY))[:length])
    with pytest.raises(InvalidInput, match=r"x\.gz: damaged gzip file"):
        open_source(tmp_path / "x.gz")


def test_wrong_gzip_checksum(tmp_path):
    damaged = bytearray(gzip.compress(idx_bytes(ARRAY)))
    damaged[-6] ^= 1
    (tmp_path / "x.gz").write_bytes(damaged)
    with pytest.raises(InvalidInput, match=r"x\.gz: damaged gzip file \(CRC"):
        open_source(tmp_path / "x.gz")


def test_gzip_of_something_else(tmp_path):
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"a,b,c\n"))
    with pytest.raises(InvalidInput, match=r"x\.csv\.gz: expected an IDX file, found .*b'a,b,'"):
        open_source(tmp_path / "x.csv.gz")
