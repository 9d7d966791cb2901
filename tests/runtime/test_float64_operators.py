import math

import numpy as np
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from engine.runtime.float64_decoder import evaluate_float64
from engine.runtime.float64_operators import OPERATORS
from engine.runtime.session import run_bare_session

CONVOLUTIONS = [
    ("Conv", (4, 7), (6, 4, 3), {}),
    ("Conv", (4, 8, 9), (6, 4, 3, 2), {"strides": [2, 3], "pads": [1, 0, 2, 1]}),
    ("Conv", (4, 8, 9), (6, 2, 3, 3), {"group": 2, "dilations": [2, 1], "pads": [2, 1, 2, 1]}),
    ("Conv", (4, 8, 9), (4, 1, 3, 3), {"group": 4, "auto_pad": "VALID"}),
    ("Conv", (4, 8, 9), (6, 4, 4, 3), {"auto_pad": "SAME_UPPER", "strides": [1, 2]}),
    ("Conv", (4, 8, 9), (6, 4, 4, 3), {"auto_pad": "SAME_LOWER", "strides": [3, 1]}),
    ("Conv", (2, 5, 6, 7), (3, 2, 2, 3, 1), {"pads": [1, 1, 0, 0, 1, 0]}),
    ("ConvTranspose", (4, 7), (4, 6, 3), {"strides": [2], "pads": [1, 1], "output_padding": [1]}),
    ("ConvTranspose", (4, 5, 6), (4, 3, 2, 4), {"strides": [3, 2], "pads": [0, 1, 1, 2]}),
    ("ConvTranspose", (4, 5, 6), (4, 3, 3, 3), {"group": 2, "dilations": [2, 1]}),
    ("ConvTranspose", (4, 5, 6), (4, 3, 4, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("ConvTranspose", (4, 5, 6), (4, 3, 4, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ("ConvTranspose", (2, 3, 4, 5), (2, 3, 3, 2, 2), {"strides": [2, 1, 2]}),
]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(("op", "shape", "kernel", "options"), CONVOLUTIONS)
def test_convolutions_agree_with_onnxruntime(float_network, op, shape, kernel, options, biased):
    rng = np.random.default_rng(0)
    outputs = kernel[0] if op == "Conv" else kernel[1] * options.get("group", 1)
    weights = {"w": rng.normal(size=kernel).astype(np.float32)}
    if biased:
        weights["b"] = rng.normal(size=outputs).astype(np.float32)
    nodes = [helper.make_node(op, ["x", *weights], ["y"], **options)]
    spatial = tuple(f"axis_{i}" for i in range(len(shape) - 1))
    network = float_network(nodes, ("x", shape), ("y", (outputs, *spatial)), **weights)
    x = rng.normal(size=(3, *shape)).astype(np.float32)
    found = run_bare_session(network, op)(x)
    exact = evaluate_float64(network, x.astype(np.float64), 1.0, found[0].size)
    assert exact.dtype == np.float64
    np.testing.assert_allclose(exact.reshape(found.shape), found, rtol=1e-5, atol=1e-5)


def evaluate(op, x, **options):
    value = [helper.make_tensor_value_info(name, 11, [None]) for name in "xy"]
    node = helper.make_node(op, ["x"], ["y"], **options)
    graph = helper.make_graph([node], "one", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    return ReferenceEvaluator(model, new_ops=OPERATORS).run(None, {"x": x})[0]


def test_the_error_function_and_gelu_are_exact_in_float64():
    x = np.linspace(-4, 4, 101)
    np.testing.assert_array_equal(evaluate("Erf", x), [math.erf(value) for value in x])
    normal = [0.5 * value * (1 + math.erf(value / math.sqrt(2))) for value in x]
    np.testing.assert_allclose(evaluate("Gelu", x), normal, rtol=1e-14)
    slope = math.sqrt(2 / math.pi)
    tanh = [0.5 * value * (1 + math.tanh(slope * (value + 0.044715 * value**3))) for value in x]
    np.testing.assert_allclose(evaluate("Gelu", x, approximate="tanh"), tanh, rtol=1e-11)


def test_the_sigmoid_never_overflows():
    x = np.array([-1e4, -700.0, -1.0, 0.0, 3.0, 1e4])
    expected = [0.0, math.exp(-700), 1 / (1 + math.e), 0.5, 1 / (1 + math.exp(-3)), 1.0]
    np.testing.assert_allclose(evaluate("Sigmoid", x), expected, rtol=1e-14)
