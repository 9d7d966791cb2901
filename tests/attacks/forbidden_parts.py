"""Graphs that read other files or hold operators that a codec may not have."""

import numpy as np
from onnx import SparseTensorProto, TensorProto, helper

from tests.attacks.models import (
    I64,
    OUTSIDE,
    F,
    decoder,
    external,
    node,
    refused,
    sizes,
    subgraph,
    weight,
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
