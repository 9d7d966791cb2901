import numpy as np
import pytest

from engine import InvalidInput
from engine.codec.sample_format import (
    DTYPES,
    SampleFormat,
    default_data_range,
    guess_channels,
    network_view,
)


def sample_format(shape=(4,), dtype="f4", network_shape=None, data_range=(0.0, 1.0), **options):
    return SampleFormat(shape, np.dtype(dtype), network_shape or shape, data_range, **options)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_working_dtype_holds_every_value_apart(dtype):
    working = sample_format(dtype=dtype).working_dtype
    if dtype in ("int64", "uint64"):
        assert working == np.float64  # the widest there is
        return
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    for value in (limits.min, limits.max):
        assert np.dtype(dtype).type(working.type(value)) == value


def test_samples_become_what_the_network_sees():
    sample = sample_format((2, 3, 3), "u1", (3, 2, 3), (0.0, 255.0), channels_last=True)
    samples = np.random.default_rng(0).integers(0, 256, (5, 2, 3, 3), dtype=np.uint8)
    seen = sample.to_network(samples)
    assert seen.dtype == np.float32
    assert seen.flags.c_contiguous
    np.testing.assert_allclose(seen, samples.transpose(0, 3, 1, 2) / 255, rtol=1e-6)
    assert sample.size_bytes == 18


def test_the_network_range_is_that_of_the_data_in_other_units():
    sample = sample_format(dtype="f8", data_range=(200.0, 300.0), network_range=(-1.0, 1.0))
    seen = sample.to_network(np.array([[200.0, 250.0, 300.0, 275.0]]))
    np.testing.assert_allclose(seen, [[-1, 0, 1, 0.5]])
    assert (sample.scale, sample.offset) == (50.0, 250.0)


def test_constant_data_has_a_scale_of_one():
    sample = sample_format(data_range=(7.0, 7.0), network_range=(0.0, 1.0))
    assert (sample.scale, sample.offset) == (1.0, 7.0)
    assert not sample.to_network(np.full((1, 4), 7, np.float32)).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": ()}, "positive sizes"),
        ({"shape": (4, 0)}, "positive sizes"),
        ({"shape": (4, -1)}, "positive sizes"),
        ({"network_shape": (5,)}, "can't be brought to"),
        ({"shape": (2, 3), "network_shape": (2, 3), "channels_last": True}, "can't be brought to"),
        ({"dtype": "c8"}, "expected a dtype"),
        ({"dtype": "U3"}, "expected a dtype"),
        ({"dtype": ">f4"}, "expected a dtype"),
        ({"data_range": (1.0, 0.0)}, "range of finite numbers"),
        ({"data_range": (0.0, np.inf)}, "range of finite numbers"),
        ({"data_range": (np.nan, np.nan)}, "range of finite numbers"),
        ({"network_range": (1.0, 1.0)}, "rescale the data"),
        ({"data_range": (-3e38, 3e38)}, "rescale the data"),
        ({"data_range": (0.0, 1e-40)}, "rescale the data"),
        ({"dtype": "f8", "data_range": (-1.7e308, 1.7e308)}, "rescale the data"),
        ({"dtype": "f8", "data_range": (0.0, 1e-310)}, "rescale the data"),
    ],
)
def test_formats_that_no_network_can_be_wrapped_in_are_refused(options, message):
    with pytest.raises(InvalidInput, match=message):
        sample_format(**options)


@pytest.mark.parametrize(
    ("shape", "channels"),
    [
        ((5,), "none"),
        ((28, 28), "none"),
        ((28, 28, 3), "last"),
        ((3, 28, 28), "first"),
        ((4, 28, 3), "last"),
        ((16, 16, 16), "none"),
        ((1000, 2), "last"),
    ],
)
def test_channels_are_an_outer_axis_of_at_most_four(shape, channels):
    assert guess_channels(shape) == channels


@pytest.mark.parametrize(
    ("shape", "channels", "view"),
    [
        ((5,), "auto", ((5,), False)),
        ((28, 28), "auto", ((1, 28, 28), False)),
        ((28, 28, 3), "auto", ((3, 28, 28), True)),
        ((28, 28, 3), "none", ((1, 28, 28, 3), False)),
        ((9, 28, 28), "first", ((9, 28, 28), False)),
        ((28, 28, 9), "last", ((9, 28, 28), True)),
    ],
)
def test_views_have_channels_first(shape, channels, view):
    assert network_view(shape, channels) == view
    SampleFormat(shape, np.dtype("f4"), view[0], (0.0, 1.0), channels_last=view[1])


@pytest.mark.parametrize(
    ("shape", "channels", "message"),
    [((5,), "last", "two axes"), ((5,), "first", "two axes"), ((5, 5), "middle", "'middle'")],
)
def test_views_that_do_not_exist_are_refused(shape, channels, message):
    with pytest.raises(InvalidInput, match=message):
        network_view(shape, channels)


def test_only_uint8_is_known_to_fill_its_range():
    assert default_data_range(np.dtype("u1")) == (0, 255)
    assert default_data_range(np.dtype("u2")) is None
