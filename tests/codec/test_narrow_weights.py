import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from engine.codec.narrow_weights import (
    LARGEST_INTEGER,
    Integers,
    count_weights,
    float32_weights,
    replace_weights,
    short_scales,
    widened,
)

SHAPES = {"dense": (40, 24), "kernels": (24, 6, 3, 2)}


def integers(name, axis, largest, seed=0):
    """Random integers up to `largest` that stand for a weight."""
    rng, shape = np.random.default_rng(seed), SHAPES[name]
    count = shape[axis]
    values = rng.integers(-largest, largest, (count, np.prod(shape) // count), endpoint=True)
    scales = short_scales(np.exp(rng.normal(-6, 2, count)))
    return Integers(values.astype(np.int16), scales, axis, shape)


@pytest.fixture(scope="module")
def model(float_network):
    """A dense layer and a convolution over what it makes."""
    rng = np.random.default_rng(1)
    nodes = [
        helper.make_node("Gemm", ["z", "dense", "bias"], ["a"]),
        helper.make_node("Gelu", ["a"], ["b"]),
        helper.make_node("Reshape", ["b", "shape"], ["c"]),
        helper.make_node("Conv", ["c", "kernels"], ["y"]),
    ]
    weights = {n: rng.normal(size=s).astype(np.float32) for n, s in SHAPES.items()}
    weights |= {"bias": rng.normal(size=24).astype(np.float32), "shape": np.array([-1, 6, 2, 2])}
    weights["kernels"] = weights["kernels"][:, :, :2]
    content = float_network(nodes, ("z", (40,)), ("y", (24, 1, 1)), **weights)
    return onnx.load_model_from_string(content)


def session(model, path=None):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    if path is not None:
        options.optimized_model_filepath = str(path)
    content = model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


NARROW = {
    "int8": lambda w: Integers(
        np.rint(w.T * 40).astype(np.int16), short_scales(np.full(24, 1 / 40)), 1, w.shape
    ),
    "beyond int8": lambda w: Integers(
        np.rint(w * 4000).astype(np.int16), short_scales(np.full(40, 1 / 4000)), 0, w.shape
    ),
    "float16": lambda w: w.astype(np.float16),
}


@pytest.mark.parametrize("kind", NARROW)
def test_runtimes_run_the_float32_network(kind, model, tmp_path):
    """In batches of any size, to the last bit, and without a node that makes weights."""
    made = NARROW[kind](float32_weights(model, "")["dense"])
    narrow = replace_weights(model, {"dense": made})
    onnx.checker.check_model(narrow, full_check=True)
    exact = made.weight if isinstance(made, Integers) else made.astype(np.float32)
    plain = replace_weights(model, {}, {"dense": np.ascontiguousarray(exact)})
    values = np.random.default_rng(2).normal(size=(37, 40)).astype(np.float32)
    run, expected = session(narrow, tmp_path / "optimised.onnx"), session(plain)
    (whole,) = expected.run(None, {"z": values})
    for size in (1, 5, 37):
        parts = [run.run(None, {"z": values[i : i + size]})[0] for i in range(0, 37, size)]
        plain_parts = [
            expected.run(None, {"z": values[i : i + size]})[0] for i in range(0, 37, size)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), np.concatenate(plain_parts))
    assert np.abs(whole).max() > 1
    left = {node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert not left & {"Cast", "Mul", "Add", "Transpose", "DequantizeLinear"}


@pytest.mark.parametrize("largest", [1, 127, 128, 200, LARGEST_INTEGER])
@pytest.mark.parametrize(("name", "axis"), [("dense", 0), ("dense", 1), ("kernels", 1)])
def test_what_is_widened_is_the_weight_exactly(name, axis, largest, model):
    made = integers(name, axis, largest)
    product = made.integers.astype(np.float64) * made.scales[:, np.newaxis].astype(np.float64)
    stored = np.moveaxis(product.reshape(made.stored_shape), 0, axis)
    np.testing.assert_array_equal(made.weight, stored)  # float32 holds what float64 does
    narrow = replace_weights(model, {name: made})
    assert len(narrow.graph.initializer) - len(model.graph.initializer) == 1 + 2 * (largest > 127)
    wide = widened(narrow)
    np.testing.assert_array_equal(float32_weights(wide, "")[name], made.weight)
    assert [n.op_type for n in wide.graph.node] == [n.op_type for n in model.graph.node]


def test_other_graphs_are_what_they_were(model):
    assert widened(model) == model
    assert replace_weights(model, {}) == model


def test_weights_are_counted_as_they_are_kept(model):
    assert count_weights(model, "") == {"float32": 40 * 24 + 24 * 6 * 4 + 24}
    half = float32_weights(model, "")["kernels"].astype(np.float16)
    narrow = replace_weights(model, {"dense": integers("dense", 0, 300), "kernels": half})
    assert count_weights(narrow, "") == {"int8": 960, "float16": 576, "float32": 24 + 40 + 1}
    assert count_weights(narrow, "kern") == {"float16": 576}


@given(st.floats(1e-30, 1e30))
def test_scales_have_eight_bits(scale):
    (short,) = short_scales(np.array([scale]))
    mantissa = np.frexp(np.float64(short))[0] * 256
    assert mantissa == np.rint(mantissa)
    assert abs(short / scale - 1) < 2**-8
