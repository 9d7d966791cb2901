"""Arrays come and go through a lane as they are, whatever their dtype."""

import numpy as np
import pytest

from ..devices import on_each_device

torch = pytest.importorskip("torch")
lanes = pytest.importorskip("cuda_kernels.lane")

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


def varied(dtype, shape):
    """Arbitrary bits, NaN and the like among them."""
    rng = np.random.default_rng(0)
    dtype = np.dtype(dtype)
    return rng.integers(0, 256, (*shape, dtype.itemsize), np.uint8).view(dtype)[..., 0]


def bits(array):
    return np.ascontiguousarray(array).view(np.uint8)


@on_each_device
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_goes_up_comes_down_bit_for_bit(device, dtype):
    array, lane = varied(dtype, (7, 3)), lanes.Lane(device)
    with lane:
        tensor = lane.upload(array)
        found = lane.download(tensor)
    assert tensor.device.type == device
    np.testing.assert_array_equal(bits(found), bits(array))
    assert found.dtype == array.dtype


@on_each_device
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_mirror_moves_the_first_rows_only(device, dtype):
    array, lane = varied(dtype, (5, 2)), lanes.Lane(device)
    with lane:
        mirror = lane.mirror((8, 2), np.dtype(dtype))
        mirror.upload(array)
        mirror.upload(array[3:])
        everything = mirror.download(8).copy() if device == "cpu" else lane.download(mirror.device)
    np.testing.assert_array_equal(bits(everything[:2]), bits(array[3:]))
    np.testing.assert_array_equal(bits(everything[2:5]), bits(array[2:]))
    assert not bits(everything[5:]).any()


@on_each_device
def test_a_mirror_uses_its_memory_again(device):
    lane = lanes.Lane(device)
    with lane:
        mirror = lane.mirror((4,), np.dtype("f4"))
    addresses = set()
    for value in range(3):
        with lane:
            mirror.upload(np.full(4, value, "f4"))
            found = mirror.download(4)
        assert (found == value).all()
        addresses.add((mirror.device.data_ptr(), found.ctypes.data))
    assert len(addresses) == 1
    assert addresses.pop()[0] != found.ctypes.data


@on_each_device
def test_a_lane_may_be_entered_after_a_failure(device):
    lane = lanes.Lane(device)
    with pytest.raises(OSError), lane:
        raise OSError
    with lane:
        assert lane.download(lane.zeros((2,), np.dtype("u1"))).tolist() == [0, 0]


@on_each_device
def test_memory_for_the_caller_lies_on_the_device(device):
    tensor = lanes.for_caller(device, (3, 4), np.dtype("u2"))
    assert (tensor.device.type, tuple(tensor.shape), tensor.dtype) == (device, (3, 4), torch.uint16)


def test_a_torch_without_cuda_sees_no_gpu():
    assert lanes.is_usable("cpu")
    assert lanes.is_usable("cuda") is torch.cuda.is_available()
    assert lanes.Lane("cpu").stream == 0
