"""Graphs whose tensors, inputs, outputs or versions are not what they say."""

from onnx import TensorProto, helper

from tests.attacks.models import LATENTS, F, decoder, node, refused, sizes, value

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
