import numpy as np
import pytest

from engine.errors import InvalidInput
from engine.sources import open_source
from engine.sources.acceptance import check_array

NUMBERS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">f8"]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers_are_samples(dtype):
    check_array("x", (1, 1), np.dtype(dtype), "numbers")


@pytest.mark.parametrize("dtype", ["c8", "M8[s]", "m8[s]", "O", "V3", "i4,f4", "U0", "g"])
@pytest.mark.parametrize("accept", ["numbers", "any"])
def test_other_dtypes_never_work(dtype, accept):
    with pytest.raises(InvalidInput, match="x: expected integers and floats of 8 to 64 bits"):
        check_array("x", (3, 2), np.dtype(dtype), accept)


@pytest.mark.parametrize("dtype", ["?", "U5", "S5"])
def test_bool_and_strings_are_sidecars_only(dtype):
    check_array("x", (3,), np.dtype(dtype), "any")
    with pytest.raises(InvalidInput, match=r"x: expected integers .* found dtype"):
        check_array("x", (3, 2), np.dtype(dtype), "numbers")


def test_bool_says_how_to_convert():
    with pytest.raises(InvalidInput, match="uint8"):
        check_array("x", (3, 2), np.dtype(bool), "numbers")


def test_one_axis_is_a_sidecar_only():
    check_array("x", (3,), np.dtype("f4"), "any")
    with pytest.raises(InvalidInput, match=r"at least two axes: \(samples, ...\).*reshape\(-1, 1"):
        check_array("x", (3,), np.dtype("f4"), "numbers")


@pytest.mark.parametrize("accept", ["numbers", "any"])
@pytest.mark.parametrize(
    ("shape", "message"),
    [((), "a single value"), ((0, 4), "at least one sample"), ((4, 2, 0), "with elements")],
)
def test_shapes_without_samples(shape, message, accept):
    with pytest.raises(InvalidInput, match=f"x: expected .*{message}"):
        check_array("x", shape, np.dtype("f4"), accept)


@pytest.mark.parametrize(
    "labels", [np.array(["cat", "dog"]), np.array([b"a", b"b"]), [True, False]]
)
def test_sidecars_are_read(tmp_path, labels):
    np.save(tmp_path / "labels.npy", labels)
    for data in (labels, tmp_path / "labels.npy"):
        with open_source(data, dtypes="any") as source:
            np.testing.assert_array_equal(source.read(0, 2), labels)
            np.testing.assert_array_equal(source.read(1, 2), labels[1:])
