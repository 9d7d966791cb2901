import numpy as np
import pytest

from engine.codec.narrow_weights import LARGEST_INTEGER
from engine.runtime.weight_layers import LayerInputs, WeightLayer
from engine.runtime.weight_rounding import RoundableWeight

INPUTS, OUTPUTS = 48, 200


@pytest.fixture(scope="module")
def values():
    """Inputs that depend on each other, and are of very different sizes, `(4000, 48)`."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(INPUTS, INPUTS)) * np.geomspace(1, 0.1, INPUTS)[:, np.newaxis]
    return rng.normal(size=(4000, INPUTS)) @ mixing * np.geomspace(1, 5, INPUTS) + 3


@pytest.fixture(scope="module")
def weight():
    return np.random.default_rng(1).normal(size=(OUTPUTS, INPUTS)).astype(np.float32)


def roundable(weight, values, centred=True):
    mean = values.mean(axis=0)
    about = values - mean if centred else values
    inputs = LayerInputs(mean, about.T @ about / len(values), centred)
    return RoundableWeight(WeightLayer("w", "x", 1, -1), weight, inputs)


def test_the_error_is_that_of_the_outputs(weight, values):
    other = weight + np.random.default_rng(2).normal(0, 0.1, weight.shape).astype(np.float32)
    apart = values @ (other - weight).T
    found = roundable(weight, values, centred=False)
    assert found.error(other) == pytest.approx(np.square(apart).mean(), rel=1e-6)
    assert found.power == pytest.approx(np.square(values @ weight.T).mean(), rel=1e-6)


@pytest.mark.parametrize("share", [1e-2, 1e-4, 1e-6])
def test_as_much_error_is_added_as_is_asked_for(share, weight, values):
    found = roundable(weight, values)
    rounded = found.rounded(share * found.power)
    least = 0.05 if share == 1e-2 else 0.5  # most integers are zero there
    assert least < found.error(rounded.weight) / (share * found.power) < 1.2
    assert rounded.weight.shape == weight.shape


def bits(rounded):
    """Entropy of a number."""
    shares = np.unique(rounded, return_counts=True)[1] / rounded.size
    return -(shares * np.log2(shares)).sum()


def test_fewer_bits_than_rounding_to_the_nearest(weight, values):
    """Of int8 with a scale an output, at the same error."""
    found = roundable(weight, values)
    scales = np.abs(weight).max(axis=1, keepdims=True) / 127
    nearest = np.rint(weight / scales)
    error = found.error((nearest * scales).astype(np.float32))
    rounded = found.rounded(error)
    assert found.error(rounded.weight) < 1.05 * error
    assert bits(rounded.integers) < bits(nearest) - 0.3


@pytest.mark.parametrize("limit", [127, LARGEST_INTEGER])
def test_no_integer_is_beyond_the_limit(limit, weight, values):
    found = roundable(weight, values)
    finest, coarse = found.rounded(0.0, limit), found.rounded(1e-4 * found.power, limit)
    assert limit // 2 < np.abs(finest.integers).max() <= limit
    assert found.error(finest.weight) < found.error(coarse.weight)


def test_a_bias_makes_up_for_the_mean(weight, values):
    found = roundable(weight, values)
    rounded, bias = found.rounded(1e-2 * found.power), np.zeros(OUTPUTS, np.float32)
    apart = values @ rounded.weight.T + found.bias_for(rounded.weight, bias) - values @ weight.T
    assert np.abs(apart.mean(axis=0)).max() < 1e-3 * apart.std()


@pytest.mark.parametrize(
    "inputs", [np.zeros((9, INPUTS)), np.ones((1, INPUTS)), np.full((700, INPUTS), 0.3) * 1e6]
)
def test_inputs_that_say_nothing(inputs, weight):
    found = roundable(weight, inputs * np.linspace(1, 2, INPUTS))
    assert found.power < 1e-9 * np.square(inputs).max() + 1e-30
    assert np.isfinite(found.rounded(0.0).weight).all()
