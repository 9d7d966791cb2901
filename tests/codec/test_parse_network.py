import onnx
import pytest
from onnx import TensorProto, helper

from engine import InvalidInput
from engine.codec.graph import input_shape, output_shape, parse_network


def test_declared_shapes(float_network):
    nodes = [helper.make_node("Identity", ["a"], ["b"])]
    network = parse_network(float_network(nodes, ("a", (3, "h", -1)), ("b", (3, None, 5))), "n")
    assert input_shape(network) == (3, None, None)
    assert output_shape(network) == (3, None, 5)


def model_of(inputs, outputs, nodes=None, opset=20, ir_version=9):
    nodes = nodes or [helper.make_node("Identity", [inputs[0].name], [outputs[0].name])]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version).SerializeToString()


def values(*described, batch="n"):
    return [helper.make_tensor_value_info(name, kind, [batch, 3]) for name, kind in described]


FLOAT, DOUBLE, INT = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64
VALID = model_of(values(("a", FLOAT)), values(("b", FLOAT)))
EXTERNAL = onnx.load_from_string(
    model_of(
        values(("a", FLOAT)), values(("b", FLOAT)), [helper.make_node("Mul", ["a", "w"], ["b"])]
    )
)
EXTERNAL.graph.initializer.append(
    TensorProto(
        name="w", dims=[3], data_type=FLOAT, data_location=TensorProto.EXTERNAL,
        external_data=[onnx.StringStringEntryProto(key="location", value="weights.bin")],
    )
)  # fmt: skip
ADD = [helper.make_node("Add", ["a", "c"], ["b"])]
NEG = [helper.make_node("Neg", ["a"], ["b"]), helper.make_node("Neg", ["a"], ["c"])]
NO_SHAPE = helper.make_tensor_value_info("a", FLOAT, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a usable ONNX model"),
        (b"garbage", "not a usable ONNX model"),
        (VALID[:-5], "not a usable ONNX model"),
        (b"PK\x03\x04" + bytes(100), "not a usable ONNX model"),
        (EXTERNAL.SerializeToString(), "export with external_data=False"),
        (model_of(values(("a", FLOAT)), values(("z", FLOAT)), NEG[:1]), "not a usable ONNX model"),
        (
            model_of(values(("a", FLOAT), ("c", FLOAT)), values(("b", FLOAT)), ADD),
            r"expected one float32 input, found a \(float\), c \(float\)",
        ),
        (
            model_of(values(("a", FLOAT)), values(("b", FLOAT), ("c", FLOAT)), NEG),
            r"expected one float32 output, found b \(float\), c \(float\)",
        ),
        (model_of(values(("a", INT)), values(("b", INT))), r"float32 input, found a \(int64\)"),
        (model_of(values(("a", DOUBLE)), values(("b", DOUBLE))), r"input, found a \(double\)"),
        (
            model_of(
                values(("a", FLOAT)),
                values(("b", INT)),
                [helper.make_node("Cast", ["a"], ["b"], to=INT)],
            ),
            r"expected one float32 output, found b \(int64\)",
        ),
        (
            model_of(values(("a", FLOAT), batch=1), values(("b", FLOAT), batch=1)),
            r"with a free batch, found \(1, 3\); export it with a dynamic batch axis",
        ),
        (model_of([NO_SHAPE], values(("b", FLOAT))), "free batch|not a usable ONNX model"),
        (
            model_of(values(("a", FLOAT)), values(("b", FLOAT)), opset=12),
            "has opset 12, expected 13 to 23",
        ),
        (
            model_of(values(("a", FLOAT)), values(("b", FLOAT)), opset=24, ir_version=11),
            "has opset 24, expected 13 to 23",
        ),
    ],
)
def test_networks_that_can_not_be_wrapped_are_refused_in_one_line(content, message):
    with pytest.raises(InvalidInput, match=rf"^mine\.onnx: .*({message})") as raised:
        parse_network(content, "mine.onnx")
    assert len(str(raised.value).splitlines()) == 1
