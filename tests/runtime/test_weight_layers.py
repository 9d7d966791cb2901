import numpy as np
import onnx
import pytest
from onnx import helper

from engine.codec.narrow_weights import float32_weights
from engine.runtime.weight_layers import WeightLayer, observe_inputs, weight_layers

BATCH = 7


@pytest.fixture(scope="module")
def model(float_network):
    """Layers of all kinds, one after the other, after a node that they see the input through."""
    rng = np.random.default_rng(0)
    steps = [
        ("Neg", ["z"], {}),
        ("MatMul", ["0", "product"], {}),
        ("Gemm", ["1", "dense", "bias"], {"transB": 1}),
        ("Gemm", ["2", "scaled"], {"alpha": 2.0}),
        ("Gemm", ["3", "shared"], {}),
        ("Gemm", ["4", "shared"], {}),
        ("Reshape", ["5", "square"], {}),
        ("Conv", ["6", "kernels", "offsets"], {"pads": [1] * 4}),
        ("ConvTranspose", ["7", "back"], {"strides": [2, 2]}),
        ("Conv", ["8", "grouped"], {"group": 2}),
        ("MatMul", ["9", "tiny"], {}),
    ]
    nodes = [
        helper.make_node(op, takes, [str(k) if k < len(steps) - 1 else "y"], **given)
        for k, (op, takes, given) in enumerate(steps)
    ]
    shapes = {
        "product": (12, 16), "dense": (36, 16), "bias": (36,), "scaled": (36, 36),
        "shared": (36, 36), "kernels": (6, 4, 3, 3), "offsets": (6,), "back": (6, 4, 2, 2),
        "grouped": (8, 2, 2, 2), "tiny": (5, 2),
    }  # fmt: skip
    weights = {n: (rng.normal(size=s) / 4).astype(np.float32) for n, s in shapes.items()}
    weights["square"] = np.array([-1, 4, 3, 3])
    content = float_network(nodes, ("z", (12,)), ("y", (8, 5, 2)), **weights)
    return onnx.load_model_from_string(content)


def test_layers_know_where_their_inputs_are(model):
    assert weight_layers(model, float32_weights(model, "")) == [
        WeightLayer("product", "0", 0, -1),
        WeightLayer("dense", "1", 1, -1, "bias"),
        WeightLayer("kernels", "6", 1, 1),
        WeightLayer("back", "7", 0, 1),
    ]


def test_only_weights_that_are_asked_for(model):
    assert weight_layers(model, float32_weights(model, "back")) == [WeightLayer("back", "7", 0, 1)]


def test_moments_are_those_of_the_inputs(model):
    layers = weight_layers(model, float32_weights(model, ""))
    values = np.random.default_rng(1).normal(1, 1, (100, 12)).astype(np.float32)
    seen = observe_inputs(with_step(model), layers, values, BATCH)
    np.testing.assert_allclose(seen["product"].moments, values.T @ values / 100, rtol=1e-5)
    assert not seen["product"].centred
    hidden = -values @ float32_weights(model, "")["product"]
    np.testing.assert_allclose(seen["dense"].mean, hidden.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen["dense"].moments, np.cov(hidden.T, bias=True), atol=1e-4)
    assert seen["dense"].centred
    assert seen["kernels"].moments.shape == (4, 4)


def with_step(model):
    """As the graphs of codecs, it takes a step."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.input.append(helper.make_tensor_value_info("step", onnx.TensorProto.FLOAT, [1]))
    return result
