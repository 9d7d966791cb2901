import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import helper

from engine import Codec, CorruptCodec, InvalidInput
from engine.codec.files import CodecFiles
from engine.codec.sample_format import SampleFormat
from engine.runtime.encoder_choice import choose_encoder, encoder_speed_ups, psnr_loss_db
from engine.runtime.encoder_variants import EncoderChoice, make_variant
from engine.runtime.integer_encoder import integer_encoder, largest_exact_weight
from engine.runtime.packing import pack_networks
from engine.runtime.session import Network

ELEMENTS = 8 * 6 * 2


def operators(content):
    return [node.op_type for node in onnx.load_from_string(content).graph.node]


@pytest.fixture(scope="module")
def images():
    """Smooth images, uint8 (300, 8, 6, 2), channels last."""
    steps = np.random.default_rng(0).normal(size=(300, 8, 6, 2)).cumsum(axis=1).cumsum(axis=2)
    return np.uint8(255 * (steps - steps.min()) / np.ptp(steps))


@pytest.fixture(scope="module")
def conv_codec(float_network, images):
    """A convolution, a layer that sees it, and one that sees the image."""
    rng = np.random.default_rng(1)
    basis = np.linalg.svd(np.moveaxis(images, -1, 1).reshape(300, -1) / 255.0, full_matrices=False)[
        2
    ][:12]
    encoder = float_network(
        [
            helper.make_node("Conv", ["x", "kernels", "offsets"], ["c"], pads=[1] * 4),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Flatten", ["r"], ["f"]),
            helper.make_node("Gemm", ["f", "narrow", "bias"], ["g"], transB=1),
            helper.make_node("Sub", ["x", "mean"], ["centred"]),
            helper.make_node("Reshape", ["centred", "flat"], ["v"]),
            helper.make_node("MatMul", ["v", "basis"], ["m"]),
            helper.make_node("Add", ["g", "m"], ["z"]),
        ],
        ("x", (2, 8, 6)),
        ("z", (12,)),
        kernels=rng.normal(size=(4, 2, 3, 3)).astype(np.float32),
        offsets=rng.normal(size=4).astype(np.float32),
        narrow=(rng.normal(size=(12, 192)) / 500).astype(np.float32),
        bias=rng.normal(size=12).astype(np.float32),
        mean=np.full((1, 2, 8, 6), 0.4, np.float32),
        flat=np.array([-1, ELEMENTS]),
        basis=basis.T.astype(np.float32),
    )
    decoder = float_network(
        [
            helper.make_node("MatMul", ["z", "basis"], ["v"]),
            helper.make_node("Reshape", ["v", "shape"], ["y"]),
        ],
        ("z", (12,)),
        ("y", (2, 8, 6)),
        basis=basis.astype(np.float32),
        shape=np.array([-1, 2, 8, 6]),
    )
    sample = SampleFormat((8, 6, 2), images.dtype, (2, 8, 6), (0.0, 255.0), channels_last=True)
    return Codec(pack_networks(encoder, decoder, sample, images, 16, training={}), "cpu")


def test_a_layer_that_sees_samples_takes_the_raw_integers(digits_codec, digits):
    content = make_variant(digits_codec.files, "int8", digits[::10])
    assert operators(content).count("MatMulInteger") == 1
    assert "QuantizeLinear" not in operators(content)
    assert operators(content)[0] != "Cast"
    variant = digits_codec.with_encoder("int8", content)
    assert abs(psnr_loss_db(digits_codec, variant, digits[1::10], 1.0)) < 0.02


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("limit", [127, 63])
def test_latents_are_close_to_those_of_the_float32_encoder(make_codec, dtype, limit):
    low = np.iinfo(dtype).min
    data = np.random.default_rng(0).integers(low, low + 256, (300, 5, 7)).astype(dtype)
    codec = make_codec(data, 6)
    content = integer_encoder(codec.files.role("encoder"), data[:100], limit)
    weights = onnx.load_from_string(content).graph.initializer
    rounded = [
        onnx.numpy_helper.to_array(w) for w in weights if w.data_type == onnx.TensorProto.INT8
    ]
    assert [np.abs(values).max() for values in rounded] == [limit]
    for step in (1.0, 3.0):
        approximate = codec.with_encoder("int8", content).encode(data, step).astype(int)
        assert np.abs(approximate - codec.encode(data, step)).max() <= (3 if limit == 127 else 5)


def test_float_samples_are_rounded_within_their_range(make_codec):
    data = np.random.default_rng(0).normal(size=(300, 5, 7)).astype(np.float32)
    codec = make_codec(data, 6)
    content = make_variant(codec.files, "int8", data)
    assert operators(content).count("QuantizeLinear") == 1
    approximate = codec.with_encoder("int8", content).encode(data).astype(int)
    assert np.abs(approximate - codec.encode(data)).max() <= 5


@pytest.mark.parametrize("name", ["int8", "float16"])
def test_convolutions_and_branches(conv_codec, images, name):
    content = make_variant(conv_codec.files, name, images[::2])
    variant = conv_codec.with_encoder("int8", content)
    latents, expected = variant.encode(images).astype(int), conv_codec.encode(images).astype(int)
    assert (variant.digest, variant.network_content("encoder")) == (conv_codec.digest, content)
    assert not np.array_equal(latents, expected)
    assert np.abs(latents - expected).max() < 0.05 * np.abs(expected).max()
    assert abs(psnr_loss_db(conv_codec, variant, images[1::2], 1.0)) < 0.05


def test_every_layer_of_the_network_is_made_cheaper(conv_codec, images):
    found = operators(make_variant(conv_codec.files, "int8", images))
    assert found.count("MatMulInteger") == 2
    assert "MatMul" not in found
    assert "Gemm" not in found
    conv = found.index("Conv")
    assert found[conv - 1] == "DequantizeLinear"
    assert found[conv + 1] == "QuantizeLinear"


def test_only_the_network_computes_in_float16(conv_codec, images):
    model = onnx.load_from_string(make_variant(conv_codec.files, "float16", images))
    halved = {w.name for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT16}
    assert halved == {
        f"network_{name}" for name in ("kernels", "offsets", "narrow", "bias", "mean", "basis")
    }
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    assert sum(cast.attribute[0].i == onnx.TensorProto.FLOAT16 for cast in casts) == 1


def test_weights_beyond_float16_stay_float32(linear_pair):
    encoder, decoder = linear_pair((4, 6), 5)
    model = onnx.load_from_string(encoder)
    for tensor in model.graph.initializer:
        if tensor.name == "mean":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(24, 1e5, np.float32), "mean"))
    data = np.random.default_rng(0).integers(0, 256, (50, 4, 6)).astype(np.uint8)
    sample = SampleFormat((4, 6), data.dtype, (4, 6), (0.0, 255.0))
    files = pack_networks(model.SerializeToString(), decoder, sample, data, 8, training={})
    assert make_variant(files, "float16", data) is None


def test_a_network_without_weights_stays_as_it_is(float_network):
    flatten = float_network([helper.make_node("Flatten", ["x"], ["z"])], ("x", (2, 3)), ("z", (6,)))
    back = float_network(
        [helper.make_node("Reshape", ["z", "shape"], ["y"])],
        ("z", (6,)),
        ("y", (2, 3)),
        shape=np.array([-1, 2, 3]),
    )
    data = np.random.default_rng(0).integers(0, 256, (50, 2, 3)).astype(np.uint8)
    sample = SampleFormat((2, 3), data.dtype, (2, 3), (0.0, 255.0))
    files = pack_networks(flatten, back, sample, data, 8, training={})
    assert make_variant(files, "int8", data) is None
    assert encoder_speed_ups(Codec(files, "cpu")) == {}
    assert choose_encoder(Codec(files, "cpu"), data) == EncoderChoice("float32")


def test_the_same_samples_give_the_same_bytes(conv_codec, images, tmp_path):
    conv_codec.save(tmp_path / "a.codec")
    np.save(tmp_path / "images.npy", images)
    program = (
        "import hashlib, sys, numpy, engine\n"
        "from engine.runtime.encoder_variants import make_variant\n"
        "codec, images = engine.Codec.load(sys.argv[1], 'cpu'), numpy.load(sys.argv[2])\n"
        "made = [make_variant(codec.files, name, images) for name in ('int8', 'float16')]\n"
        "assert 'torch' not in sys.modules\n"
        "print([hashlib.sha256(content).hexdigest() for content in made])\n"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    found = [
        subprocess.run(
            [
                sys.executable,
                "-W",
                "error",
                "-c",
                program,
                tmp_path / "a.codec",
                tmp_path / "images.npy",
            ],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "TMPDIR": str(temporary)},
        )
        for seed in ("1", "2")
    ]
    assert found[0].stdout == found[1].stdout != ""
    assert [run.stderr for run in found] == ["", ""]
    assert list(temporary.iterdir()) == []


def test_what_can_not_be_made_is_refused(digits_codec, digits):
    with pytest.raises(InvalidInput, match="must be auto, float32, int8 or float16, got 'int4'"):
        make_variant(digits_codec.files, "int4", digits[:9])
    with pytest.raises(InvalidInput, match="calibrated on samples"):
        make_variant(digits_codec.files, "int8", digits[:0])
    stored = CodecFiles(digits_codec.manifest, {})
    with pytest.raises(CorruptCodec, match="stored without its encoder"):
        make_variant(stored, "int8", digits[:9])
    own = digits_codec.files.role("encoder")
    assert make_variant(digits_codec.files, "float32", digits[:9]) == own


def test_another_encoder_stays_on_other_threads(digits_codec, digits):
    content = make_variant(digits_codec.files, "int8", digits[::10])
    variant = digits_codec.with_encoder("int8", content)
    moved = variant.on("cpu", threads=1)
    assert moved.network_content("encoder") == content
    np.testing.assert_array_equal(moved.encode(digits[:99]), variant.encode(digits[:99]))
    assert digits_codec.network_content("encoder") != content


@pytest.mark.parametrize("rows", [1, 7, 256])
def test_the_largest_weights_are_multiplied_exactly(rows):
    limit = largest_exact_weight()
    node = helper.make_node("MatMulInteger", ["a", "w"], ["y"])
    ends = [
        helper.make_tensor_value_info("a", onnx.TensorProto.UINT8, ["n", 100]),
        helper.make_tensor_value_info("y", onnx.TensorProto.INT32, ["n", 40]),
    ]
    weights = onnx.numpy_helper.from_array(np.full((100, 40), limit, np.int8), "w")
    graph = helper.make_graph([node], "product", ends[:1], ends[1:], initializer=[weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = Network(model.SerializeToString(), "cpu", 1).session
    found = session.run(None, {"a": np.full((rows, 100), 255, np.uint8)})[0]
    assert (found == 100 * 255 * limit).all()
    assert limit in (63, 127)
