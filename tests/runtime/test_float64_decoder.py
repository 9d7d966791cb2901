import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.runtime.float64_decoder import discontinuity, evaluate_float64


def test_every_narrow_float_becomes_a_wide_one(float_network):
    """Weights, constants and casts: the result has the digits that float32 would have lost."""
    constant = numpy_helper.from_array(np.array([1e-9], np.float32))
    nodes = [
        helper.make_node("Cast", ["half"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["z", "weights"], ["scaled"]),
        helper.make_node("Constant", [], ["little"], value=constant),
        helper.make_node("Add", ["scaled", "little"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["cast", "scaled"], ["y"]),
    ]
    network = float_network(nodes, ("z", (3,)), ("y", (3,)), half=np.ones(3, np.float16))
    found = evaluate_float64(network, np.ones((2, 3)), 1.0, 3)
    np.testing.assert_allclose(found, 1e-9, rtol=1e-6)


def test_the_step_scales_as_in_the_graph(digits, digits_codec):
    latents = digits_codec.encode(digits[::500])
    for step in (1.0, 0.1):
        exact = evaluate_float64(digits_codec.files.role("decoder"), latents, step, 784)
        found = digits_codec.reconstruct(latents, step).reshape(len(latents), -1)
        np.testing.assert_allclose(found, exact, atol=1e-3)
        assert np.abs(found - exact).max() > 0


def test_linear_decoders_have_no_discontinuity(digits_codec):
    assert discontinuity(digits_codec.files.role("decoder")) is None


DISCONTINUOUS = ["Round", "Floor", "Ceil", "Sign", "Hardmax", "Shrink", "ThresholdedRelu", "IsNaN"]


@pytest.mark.parametrize("op", DISCONTINUOUS)
def test_operators_that_jump(float_network, op):
    nodes = [helper.make_node("Tanh", ["z"], ["t"]), helper.make_node(op, ["t"], ["y"])]
    network = float_network(nodes, ("z", (3,)), ("y", (3,)))
    assert discontinuity(network) == f"its decoder has {op} between latents and output"


@pytest.mark.parametrize("to", [TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT16])
def test_casts_that_round(float_network, to):
    nodes = [
        helper.make_node("Cast", ["z"], ["t"], to=to),
        helper.make_node("Cast", ["t"], ["y"], to=TensorProto.FLOAT),
    ]
    network = float_network(nodes, ("z", (3,)), ("y", (3,)))
    assert discontinuity(network) == "its decoder has Cast between latents and output"


def test_a_choice_between_two_values(float_network):
    nodes = [
        helper.make_node("Greater", ["z", "border"], ["above"]),
        helper.make_node("Where", ["above", "z", "border"], ["y"]),
    ]
    network = float_network(nodes, ("z", (3,)), ("y", (3,)), border=np.zeros(1, np.float32))
    assert "Greater" in discontinuity(network)


def test_arithmetic_on_shapes_and_constants_may_jump(float_network):
    nodes = [
        helper.make_node("Shape", ["z"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Floor", ["floats"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["target"], to=TensorProto.INT64),
        helper.make_node("Round", ["weight"], ["rounded"]),
        helper.make_node("Mul", ["z", "rounded"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "target"], ["y"]),
    ]
    network = float_network(nodes, ("z", (3,)), ("y", (3,)), weight=np.float32([1.4]))
    assert discontinuity(network) is None
    np.testing.assert_array_equal(evaluate_float64(network, np.ones((2, 3)), 1.0, 3), 1)


def test_random_numbers_and_control_flow(float_network):
    nodes = [
        helper.make_node("RandomNormal", [], ["noise"], shape=[1]),
        helper.make_node("Add", ["z", "noise"], ["y"]),
    ]
    network = float_network(nodes, ("z", (3,)), ("y", (3,)))
    assert discontinuity(network) == "its decoder has the operator RandomNormal"
    value = helper.make_tensor_value_info("copy", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Identity", ["z"], ["copy"])], "b", [], [value])
    nodes = [helper.make_node("If", ["true"], ["y"], then_branch=branch, else_branch=branch)]
    network = float_network(nodes, ("z", (3,)), ("y", (3,)), true=np.array(True))
    assert discontinuity(network) == "its decoder has the operator If"


def test_operators_of_other_domains(float_network):
    nodes = [helper.make_node("Tanh", ["z"], ["y"], domain="com.microsoft")]
    assert "Tanh" in discontinuity(float_network(nodes, ("z", (3,)), ("y", (3,))))
