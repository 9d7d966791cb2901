import dataclasses

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine import CorruptCodec
from engine.codec.files import DECODER, ENCODER
from engine.codec.graph import build_decoder, parse_network
from engine.codec.graph_model import MAX_FIELDS
from engine.codec.graph_safety import check_decoder, check_encoder
from engine.codec.manifest import LatentFormat, Manifest
from engine.codec.sample_format import SampleFormat

LATENTS, SAMPLE = (8,), (3, 8, 8)
FORMATS = Manifest(
    SampleFormat(SAMPLE, np.dtype("f4"), SAMPLE, (0.0, 1.0)),
    LatentFormat(LATENTS, 8, (1.0,) * 8, (0.0,) * 8),
    (),
)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


@pytest.fixture
def check(float_network):
    """The memory of a decoder made of nodes from z, float32 (batch, 8), to y (batch, 3, 8, 8)."""

    def run(*nodes, opset=20, **weights):
        network = float_network(nodes, ("z", LATENTS), ("y", SAMPLE), opset, **weights)
        content = build_decoder(parse_network(network, "network"), FORMATS.sample, FORMATS.latent)
        return check_decoder(content, FORMATS)

    return run


def test_a_codec_is_safe_in_both_directions(digits_codec):
    files = digits_codec.files
    encoder = check_encoder(files.role(ENCODER), files.manifest)
    decoder = check_decoder(files.role(DECODER), files.manifest)
    assert files.memory(ENCODER) == encoder
    assert files.memory(DECODER) == decoder
    assert 2 * len(files.role(DECODER)) <= decoder.loaded_bytes < 3 * len(files.role(DECODER))
    assert 784 * 4 < decoder.sample_bytes < 784 * 4 * 10


def test_the_graphs_of_one_codec_are_not_those_of_another(digits_codec, make_codec, digits):
    other = make_codec(digits, 16).files
    with pytest.raises(CorruptCodec, match=r"expected latents as int8 of shape \(any, 32\)"):
        check_decoder(other.role(DECODER), digits_codec.manifest)
    with pytest.raises(CorruptCodec, match=r"found 'latents' as int8 of shape \(any, 32\)"):
        check_encoder(digits_codec.files.role(DECODER), digits_codec.manifest)


TAIL = node("Reshape", "flat sample_shape", "y")
SHAPES = {"sample_shape": np.array([-1, *SAMPLE]), "weights": np.ones((8, 192), np.float32)}


def test_a_batch_that_is_read_from_the_shape(check):
    memory = check(
        node("MatMul", "z weights", "flat"),
        node("Shape", "z", "shape"),
        node("Gather", "shape first", "samples"),
        node("Unsqueeze", "samples first_axis", "one"),
        node("Concat", "one rest", "sizes", axis=0),
        node("Reshape", "flat sizes", "y"),
        first=np.array(0),
        first_axis=np.array([0]),
        rest=np.array(SAMPLE),
        **{"weights": SHAPES["weights"]},
    )
    assert memory.sample_bytes < 10 * 192 * 4


def test_a_token_that_is_expanded_to_the_batch(check):
    """As torch.onnx writes `token.expand(batch, -1)`."""
    check(
        node("Shape", "z", "shape", start=0, end=1),
        node("Concat", "shape keep", "sizes", axis=0),
        node("Shape", "sizes", "rank"),
        node("ConstantOfShape", "rank", "ones", value=numpy_helper.from_array(np.array([1]))),
        node("Mul", "ones minus", "minus_ones"),
        node("Equal", "sizes minus_ones", "kept"),
        node("Where", "kept ones sizes", "expanded"),
        node("Expand", "token expanded", "tokens"),
        node("Concat", "z tokens", "both", axis=1),
        node("MatMul", "both weights", "flat"),
        TAIL,
        keep=np.array([-1]),
        minus=np.array(-1),
        token=np.ones((1, 8), np.float32),
        weights=np.ones((16, 192), np.float32),
        sample_shape=SHAPES["sample_shape"],
    )


def test_images_resized_by_their_own_size(check):
    """As torch.onnx writes `interpolate(x, scale_factor=2)` of an image of a free size."""
    check(
        node("Gemm", "z weights", "vector"),
        node("Reshape", "vector small", "image"),
        node("Shape", "image", "shape"),
        node("Slice", "shape two four", "size"),
        node("Cast", "size", "floats", to=TensorProto.FLOAT),
        node("Mul", "floats by", "larger"),
        node("Floor", "larger", "whole"),
        node("Cast", "whole", "target", to=TensorProto.INT64),
        node("Slice", "shape zero two", "outer"),
        node("Concat", "outer target", "sizes", axis=0),
        helper.make_node("Resize", ["image", "", "", "sizes"], ["y"], mode="nearest"),
        weights=np.ones((8, 48), np.float32),
        small=np.array([-1, 3, 4, 4]),
        two=np.array([2]),
        four=np.array([4]),
        zero=np.array([0]),
        by=np.array(2, np.float32),
    )


@pytest.mark.parametrize("opset", [13, 17, 18, 21, 23])
def test_normalisations_and_activations(check, opset):
    newer = [node("LayerNormalization", "c d", "e")] if opset >= 17 else [node("Relu", "c", "e")]
    check(
        node("MatMul", "z weights", "a"),
        node("Reshape", "a sample_shape", "b"),
        node("InstanceNormalization", "b three three", "c"),
        *newer,
        node("Softplus", "e", "g"),
        node("Tanh", "g", "h"),
        node("Mul", "g h", "y"),
        opset=opset,
        three=np.ones(3, np.float32),
        d=np.ones(8, np.float32),
        **SHAPES,
    )


@pytest.mark.parametrize("opset", [21, 23])
def test_groups_are_normalised(check, opset):
    check(
        node("MatMul", "z weights", "a"),
        node("Reshape", "a sample_shape", "b"),
        node("GroupNormalization", "b scale scale", "y", num_groups=1),
        opset=opset,
        scale=np.ones(3, np.float32),
        **SHAPES,
    )


def test_a_limit_below_what_is_needed_is_named(digits_codec):
    files = digits_codec.files
    needed = sum(dataclasses.astuple(files.memory(DECODER)))
    content = files.role(DECODER)
    assert check_decoder(content, files.manifest, needed)
    for limit, message in ((needed - 1, "run on one sample"), (len(content), "the graph takes")):
        with pytest.raises(CorruptCodec, match=f"{message}.*max_memory_bytes= or --max-memory"):
            check_decoder(content, files.manifest, limit)


@pytest.mark.parametrize("part", [b"\x3a\x02\x0a\x00", b"\x3a\x04\x0a\x02\x22\x00", b"\x42\x00"])
def test_bytes_that_would_become_many_objects_are_not_parsed(part):
    """Empty nodes of a graph, empty names of a node, empty operator sets."""
    with pytest.raises(CorruptCodec, match=f"more than {MAX_FIELDS} fields"):
        check_decoder(part * (MAX_FIELDS + 1), FORMATS)


@pytest.mark.parametrize(
    "content", [b"", b"\x0a", b"\xff" * 99, b"\x08\x80", b"\x3a\xff\x7f", b"\x0b"]
)
def test_what_is_no_model_is_refused(content):
    with pytest.raises(CorruptCodec, match=r"not an ONNX model|it has"):
        check_decoder(content, FORMATS)
