"""Graphs that could do harm: each is a good decoder with one lie, and what its refusal must say."""

import numpy as np
from onnx import SparseTensorProto, TensorProto, helper, numpy_helper

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


# Data in other files


@refused("keeps its data in another file")
def external_weight():
    return decoder([node("Identity", ["w"], ["boom"])], [external("w", OUTSIDE)])


@refused("keeps its data in another file")
def external_absolute():
    return decoder([node("Identity", ["w"], ["boom"])], [external("w", "/etc/passwd")])


@refused("keeps its data in another file")
def external_constant():
    return decoder([node("Constant", [], ["boom"], value=external("", OUTSIDE))])


@refused("keeps its data in another file")
def external_fill():
    fill = node("ConstantOfShape", ["n"], ["boom"], value=external("", OUTSIDE))
    return decoder([fill], [sizes("n", 2)])


@refused("keeps its data in another file")
def external_data_without_location():
    tensor = weight("w", [1.0])
    tensor.external_data.add(key="location", value=OUTSIDE)
    return decoder([node("Identity", ["w"], ["boom"])], [tensor])


@refused("operator 'If'")
def external_in_subgraph():
    constant = node("Constant", [], ["out"], value=external("", OUTSIDE))
    branches = {"then_branch": subgraph([constant]), "else_branch": subgraph([constant])}
    return decoder([node("If", ["yes"], ["boom"], **branches)], [weight("yes", True, np.bool_)])


@refused("sparse weights")
def external_sparse_weight():
    model = decoder()
    model.graph.sparse_initializer.append(
        SparseTensorProto(values=external("w", OUTSIDE), indices=sizes("", 0), dims=[4])
    )
    return model


@refused("holds more than numbers, text or a tensor")
def external_sparse_constant():
    sparse = SparseTensorProto(values=external("w", OUTSIDE), indices=sizes("", 0), dims=[4])
    return decoder([node("Constant", [], ["boom"], sparse_value=sparse)])


@refused("holds more than numbers, text or a tensor")
def hidden_subgraph():
    """A field of another kind than the attribute says."""
    relu = node("Relu", ["flat"], ["boom"])
    attribute = relu.attribute.add(name="alpha", f=1.0, type=1)
    attribute.g.CopyFrom(subgraph([node("Constant", [], ["out"], value=external("", OUTSIDE))]))
    return decoder([relu])


# Operators


@refused("it has functions")
def local_function():
    model = decoder([node("Work", ["flat"], ["boom"], domain="mine")])
    opset = helper.make_opsetid("", 20)
    body = [node("Relu", ["a"], ["b"])]
    model.functions.append(helper.make_function("mine", "Work", ["a"], ["b"], body, [opset]))
    model.opset_import.append(helper.make_opsetid("mine", 1))
    return model


@refused("it has functions")
def function_that_replaces_a_standard_operator():
    model = decoder()
    opset = helper.make_opsetid("", 20)
    body = [node("RandomNormalLike", ["a"], ["b"])]
    model.functions.append(helper.make_function("", "Identity", ["a"], ["b"], body, [opset]))
    return model


@refused("of domain 'com.microsoft'")
def contributed_operator():
    model = decoder([node("FusedMatMul", ["flat", "flat"], ["boom"], domain="com.microsoft")])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


@refused("of domain 'ai.onnx.ml'")
def classical_operator():
    model = decoder([node("Scaler", ["flat"], ["boom"], domain="ai.onnx.ml", scale=[1.0])])
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return model


@refused("operator 'RandomNormalLike'")
def random_operator():
    return decoder([node("RandomNormalLike", ["flat"], ["boom"])])


@refused("it is random")
def dropout_in_training():
    drop = node("Dropout", ["flat", "ratio", "training"], ["boom"])
    return decoder([drop], [weight("ratio", 0.5), weight("training", True, np.bool_)])


@refused("inference mode")
def normalisation_in_training():
    names = ["flat", *["statistics"] * 4]
    norm = node("BatchNormalization", names, ["boom", "mean", "var"], training_mode=1)
    return decoder([norm], [weight("statistics", np.ones(24))])


@refused("operator 'Loop'")
def endless_loop():
    body = subgraph(
        [node("Identity", ["going"], ["goes_on"]), node("Identity", ["carried"], ["out"])],
        [("i", I64, []), ("going", TensorProto.BOOL, []), ("carried", F, None)],
        ["goes_on", "out"],
    )
    return decoder([node("Loop", ["", "", "flat"], ["boom"], body=body)])


@refused("operator 'SequenceConstruct'")
def sequence():
    made = node("SequenceConstruct", ["flat"], ["many"])
    return decoder([made, node("ConcatFromSequence", ["many"], ["boom"], axis=0)])


@refused("operator 'ImageDecoder'")
def image_decoder():
    return decoder([node("ImageDecoder", ["bytes"], ["boom"])], [weight("bytes", [0], np.uint8)])


@refused("operator 'NonZero'")
def shape_that_depends_on_data():
    return decoder([node("NonZero", ["flat"], ["boom"])])


@refused("can't be")
def unknown_attribute_shape():
    return decoder([node("Conv", ["flat", "flat"], ["boom"], strides=[1])])


# Memory


@refused("bytes of memory")
def expand():
    return decoder([node("Expand", ["step", "n"], ["boom"])], [sizes("n", 1 << 15, 1 << 16)])


@refused("bytes of memory")
def constant_of_shape_at_load():
    return decoder([node("ConstantOfShape", ["n"], ["boom"])], [sizes("n", 1 << 20, 1 << 14)])


@refused("asks for sizes beyond")
def product_of_sizes_that_overflows():
    return decoder([node("ConstantOfShape", ["n"], ["boom"])], [sizes("n", *[1 << 30] * 3)])


@refused("asks for sizes beyond")
def size_that_overflows():
    return decoder([node("ConstantOfShape", ["n"], ["boom"])], [sizes("n", (1 << 63) - 1)])


@refused("asks for sizes beyond")
def range_of_everything():
    bounds = [weight(n, v, np.int64) for n, v in (("a", 0), ("b", (1 << 62)), ("c", 1))]
    return decoder([node("Range", ["a", "b", "c"], ["boom"])], bounds)


@refused("asks for sizes beyond")
def range_without_step():
    bounds = [weight(n, v, np.int64) for n, v in (("a", 0), ("b", 9), ("c", 0))]
    return decoder([node("Range", ["a", "b", "c"], ["boom"])], bounds)


@refused("bytes of memory")
def tile():
    return decoder([node("Tile", ["flat", "n"], ["boom"])], [sizes("n", 1 << 14, 1 << 14)])


@refused("asks for sizes beyond")
def tile_that_wraps():
    return decoder([node("Tile", ["flat", "n"], ["boom"])], [sizes("n", 1, 1 << 62)])


@refused("bytes of memory")
def pad():
    return decoder([node("Pad", ["flat", "n"], ["boom"])], [sizes("n", 0, 0, 0, 1 << 29)])


@refused("bytes of memory")
def resize():
    shaped = node("Reshape", ["flat", "square"], ["image"])
    grown = node("Resize", ["image", "", "by"], ["boom"], mode="nearest")
    weights = [sizes("square", -1, 1, 4, 6), weight("by", [1, 1, 1e4, 1e4])]
    return decoder([shaped, grown], weights)


@refused("asks for sizes beyond")
def resize_by_infinity():
    shaped = node("Reshape", ["flat", "square"], ["image"])
    grown = node("Resize", ["image", "", "by"], ["boom"], mode="nearest")
    return decoder([shaped, grown], [sizes("square", -1, 1, 4, 6), weight("by", [1, 1, np.inf, 1])])


@refused("bytes of memory")
def outer_product():
    nodes = [
        node("Expand", ["step", "column"], ["tall"]),
        node("Expand", ["step", "row"], ["wide"]),
        node("MatMul", ["tall", "wide"], ["boom"]),
    ]
    return decoder(nodes, [sizes("column", 1 << 17, 1), sizes("row", 1, 1 << 17)])


@refused("bytes of memory")
def many_that_live_at_once():
    made = [node("Expand", ["step", "n"], [f"part_{k}"]) for k in range(80)]
    names = [f"part_{k}" for k in range(80)]
    joined = [node("ReduceSum", [name], [f"sum_{name}"]) for name in names]
    total = node("Sum", [*names], ["boom"])
    return decoder([*made, *joined, total], [sizes("n", 1 << 24)])


@refused("bytes of memory")
def transposed_convolution_that_unfolds():
    nodes = [
        node("Reshape", ["step", "one"], ["seed"]),
        node("Expand", ["seed", "image"], ["large"]),
        node("Expand", ["seed", "window"], ["kernel"]),
        node("ConvTranspose", ["large", "kernel"], ["boom"]),
    ]
    shapes = [("one", 1, 1, 1, 1), ("image", 1, 1, 512, 512), ("window", 1, 1, 512, 512)]
    return decoder(nodes, [sizes(*shape) for shape in shapes])


@refused("(4096, 4096) for 4096")
def square_of_the_batch():
    turned = node("Transpose", ["flat"], ["turned"])
    return decoder([turned, node("MatMul", ["flat", "turned"], ["boom"])])


@refused("depends on the data")
def square_of_the_batch_by_its_size():
    nodes = [
        node("Shape", ["flat"], ["shape"]),
        node("Gather", ["shape", "first"], ["samples"]),
        node("Mul", ["samples", "samples"], ["squared"]),
        node("Expand", ["step", "squared"], ["boom"]),
    ]
    return decoder(nodes, [sizes("first", 0)])


@refused("depends on the data")
def bomb_for_one_size_of_batch():
    nodes = [
        node("Shape", ["flat"], ["shape"]),
        node("Gather", ["shape", "first"], ["samples"]),
        node("Equal", ["samples", "seven"], ["is_seven"]),
        node("Where", ["is_seven", "huge", "one"], ["size"]),
        node("Expand", ["step", "size"], ["boom"]),
    ]
    weights = [sizes("first", 0), sizes("seven", 7), sizes("huge", 1 << 30), sizes("one", 1)]
    return decoder(nodes, weights)


@refused("depends on the data")
def size_taken_from_latents():
    nodes = [
        node("Cast", ["latents"], ["wide"], to=I64),
        node("Gather", ["wide", "first"], ["row"]),
        node("Slice", ["row", "first", "end"], ["size"]),
        node("Expand", ["step", "size"], ["boom"]),
    ]
    return decoder(nodes, [weight("first", 0, np.int64), sizes("end", 1)])


@refused("absurd shape")
def too_many_axes():
    axes = sizes("axes", *range(40))
    return decoder([node("Unsqueeze", ["step", "axes"], ["boom"])], [axes])


@refused("attribute 'hidden_size' of LSTM is beyond")
def recurrence_of_absurd_width():
    nodes = [node("LSTM", ["w", "w", "w"], ["boom"], hidden_size=1 << 40)]
    return decoder(nodes, [weight("w", np.ones((1, 4, 1)))])


# Traps in arithmetic


@refused("attribute 'strides' of Conv is beyond")
def stride_of_zero():
    image = node("Reshape", ["flat", "square"], ["image"])
    conv = node("Conv", ["image", "w"], ["boom"], strides=[0, 0])
    return decoder(
        [image, conv], [sizes("square", -1, 1, 4, 6), weight("w", np.ones((1, 1, 1, 1)))]
    )


@refused("attribute 'blocksize' of DepthToSpace is beyond")
def block_that_wraps():
    image = node("Reshape", ["flat", "square"], ["image"])
    grown = node("DepthToSpace", ["image"], ["boom"], blocksize=1 << 32)
    return decoder([image, grown], [sizes("square", -1, 4, 2, 3)])


@refused("divides integers")
def division_that_ends_the_process():
    nodes = [
        node("Cast", ["latents"], ["wide"], to=I64),
        node("Div", ["lowest", "wide"], ["boom"]),
    ]
    return decoder(nodes, [sizes("lowest", -(1 << 63))])


@refused("divides integers")
def division_that_ends_the_process_at_load():
    divided = node("Div", ["lowest", "minus_one"], ["boom"])
    return decoder([divided], [sizes("lowest", -(1 << 63)), sizes("minus_one", -1)])


@refused("the equation of Einsum")
def equation_that_never_ends():
    return decoder([node("Einsum", ["flat"], ["boom"], equation="...a...->")])


# Tensors


@refused("a shape that no array has")
def negative_axis():
    tensor = TensorProto(name="w", data_type=F, dims=[-1, -4], raw_data=bytes(16))
    return decoder([node("Identity", ["w"], ["boom"])], [tensor])


@refused("holds 1 elements")
def weight_of_more_elements_than_it_holds():
    tensor = TensorProto(name="w", data_type=F, dims=[1 << 20, 1 << 10], raw_data=bytes(4))
    return decoder([node("Identity", ["w"], ["boom"])], [tensor])


@refused("doesn't hold numbers")
def weight_of_text():
    tensor = TensorProto(name="w", data_type=TensorProto.STRING, dims=[1], string_data=[b"x"])
    return decoder([node("Shape", ["w"], ["boom"])], [tensor])


@refused("doesn't hold numbers")
def weight_of_unknown_type():
    tensor = TensorProto(name="w", data_type=99, dims=[1], raw_data=bytes(4))
    return decoder([node("Shape", ["w"], ["boom"])], [tensor])


# What the graph says of itself


@refused("expected reconstruction as float32 of shape (any, 4, 6)")
def output_larger_than_the_sample():
    model = decoder()
    model.graph.output[0].CopyFrom(value("reconstruction", F, ["batch", 1 << 20, 1 << 12]))
    return model


@refused("differs from the one that follows from its operators")
def output_other_than_declared():
    model = decoder()
    model.graph.initializer[1].CopyFrom(sizes("sample_shape", -1, 2, 6))
    return model


@refused("differs from the one that follows from its operators")
def inner_shape_that_is_a_lie():
    model = decoder()
    model.graph.value_info.append(value("flat", F, ["batch", 1 << 20]))
    return model


@refused("expected latents as int8")
def wrong_type_of_latents():
    model = decoder()
    model.graph.input[0].CopyFrom(value("latents", TensorProto.UINT8, ["batch", LATENTS]))
    return model


@refused("expected latents as int8 of shape (any, 8)")
def fixed_batch():
    model = decoder()
    model.graph.input[0].CopyFrom(value("latents", TensorProto.INT8, [1, LATENTS]))
    return model


@refused("found 3 inputs")
def third_input():
    model = decoder()
    model.graph.input.append(value("more", F, [1]))
    return model


@refused("two values have the name 'flat'")
def two_values_of_one_name():
    return decoder([node("Relu", ["scaled"], ["flat"])])


@refused("uses 'later' before it is made")
def circle():
    return decoder([node("Relu", ["later"], ["now"]), node("Relu", ["now"], ["later"])])


@refused("default operator sets [24]")
def later_operators():
    model = decoder()
    model.opset_import[0].version = 24
    return model


@refused("default operator sets [20, 13]")
def two_sets_of_operators():
    model = decoder()
    model.opset_import.append(helper.make_opsetid("ai.onnx", 13))
    return model


@refused("IR version 99")
def later_ir_version():
    model = decoder()
    model.ir_version = 99
    return model


@refused("training information")
def training_information():
    model = decoder()
    model.training_info.add().initialization.node.append(node("Relu", ["a"], ["b"]))
    return model
