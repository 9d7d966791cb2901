"""A good decoder to build attacks on, and the list that they are registered in."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

node = helper.make_node
value = helper.make_tensor_value_info
F, I64 = TensorProto.FLOAT, TensorProto.INT64
LATENTS, SAMPLE = 8, (4, 6)
OUTSIDE = "../outside.bin"
GRAPHS = {}


def refused(message):
    """Register a function that makes a model, with what must be said of it."""

    def register(make):
        GRAPHS[make.__name__] = (make, message)
        return make

    return register


def weight(name, values, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def sizes(name, *values):
    return weight(name, values, np.int64)


def decoder(nodes=(), weights=()):
    """A linear decoder of int8 latents (8,) to float32 samples (4, 6).

    `nodes` find its output as "flat"; what they make of the name "boom" is summed and added.
    """
    made = [name for one in nodes for name in one.output]
    tail, last = [], "flat"
    if "boom" in made:
        tail = [
            node("Cast", ["boom"], ["as_float"], to=F),
            node("ReduceSum", ["as_float"], ["total"], keepdims=0),
            node("Add", ["flat", "total"], ["sum"]),
        ]
        last = "sum"
    head = [
        node("Cast", ["latents"], ["values"], to=F),
        node("Mul", ["values", "step"], ["scaled"]),
        node("MatMul", ["scaled", "basis"], ["flat"]),
    ]
    tail.append(node("Reshape", [last, "sample_shape"], ["reconstruction"]))
    graph = helper.make_graph(
        [*head, *nodes, *tail],
        "attack",
        [value("latents", TensorProto.INT8, ["batch", LATENTS]), value("step", F, [1])],
        [value("reconstruction", F, ["batch", *SAMPLE])],
        initializer=[
            weight("basis", np.eye(LATENTS, SAMPLE[0] * SAMPLE[1])),
            sizes("sample_shape", -1, *SAMPLE),
            *weights,
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def external(name, location, dims=(1,)):
    tensor = TensorProto(name=name, data_type=F, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, text in (("location", location), ("offset", "0"), ("length", "4")):
        tensor.external_data.add(key=key, value=text)
    return tensor


def subgraph(nodes, inputs=(), outputs=("out",)):
    return helper.make_graph(
        nodes, "inner", [value(n, t, s) for n, t, s in inputs], [value(n, F, None) for n in outputs]
    )
