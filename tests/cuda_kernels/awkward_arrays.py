"""Samples of every dtype and reconstructions of them, with the values that tell roundings apart."""

import numpy as np

INTEGERS = [np.dtype(f"{kind}{size}") for kind in "ui" for size in (1, 2, 4, 8)]
FLOATS = [np.dtype(f"f{size}") for size in (2, 4, 8)]
OUTPUTS = [np.dtype("f4"), np.dtype("f8")]
AWKWARD = [np.nan, np.inf, -np.inf, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 65519.0, 65520.0, 1e300]
AWKWARD += [sign * 2.0**power for sign in (-1, 1) for power in (7, 8, 15, 16, 31, 32, 63, 64)]
AWKWARD += [2.0**51 + 0.5, 2.0**51 + 1.5, 2.0**52 + 1, -(2.0**51) - 0.5, 2.0**31 - 0.5]
AWKWARD += [2049 + 2.0**-20, 1 + 2.0**-11 + 2.0**-40, 1e-7, 5e-324]  # rounded twice, too far
ELEMENTS = (0, 1, 100, 1023, 1025)  # in blocks of 64, 128 and 512


def name_of(value):
    """What pytest calls a parameter."""
    return getattr(value, "name", str(value))


def make_case(output, dtype, elements):
    """A reconstruction and samples (3, elements): the first of awkward values, others ordinary."""
    rng = np.random.default_rng(elements)
    if dtype in FLOATS:
        samples = (rng.normal(size=(3, elements)) * 100).astype(dtype)
    else:
        limits = np.iinfo(dtype)
        samples = rng.integers(limits.min, limits.max, (3, elements), dtype, endpoint=True)
        samples[:, :1], samples[:, -1:] = limits.min, limits.max
    spread = 1 + rng.normal(size=samples.shape) * 0.01
    reconstruction = (samples.astype(np.float64) * spread).astype(output)
    with np.errstate(over="ignore"):
        reconstruction[0] = np.resize(AWKWARD, elements).astype(output)
    return reconstruction, samples


def assert_same_samples(found, expected):
    """Fail unless values agree bit by bit; NaN has many bit patterns."""
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    zeros = expected == 0
    np.testing.assert_array_equal(np.signbit(found[zeros]), np.signbit(expected[zeros]))
