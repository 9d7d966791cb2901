"""The wrapped networks against NumPy: around an identity, every bit of theirs is known."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine import InvalidInput
from engine.codec.graph import (
    IR_VERSION,
    OPSETS,
    build_decoder,
    build_encoder,
    input_shape,
    parse_network,
)
from engine.codec.manifest import LatentFormat
from engine.codec.sample_format import DTYPES, SampleFormat

SAMPLES = 7
VIEWS = {
    "vector": ((5,), (5,), False),
    "image": ((4, 6), (4, 6), False),
    "image of one channel": ((4, 6), (1, 4, 6), False),
    "flattened image": ((4, 6), (24,), False),
    "channels last": ((4, 6, 3), (3, 4, 6), True),
    "channels first": ((2, 4, 6), (2, 4, 6), False),
    "volume": ((2, 3, 4, 5), (2, 3, 4, 5), False),
    "volume with channels last": ((3, 4, 5, 2), (2, 3, 4, 5), True),
}


@pytest.fixture(scope="module")
def identity(float_network):
    def make(shape, opset=20):
        nodes = [helper.make_node("Identity", ["a"], ["b"])]
        return parse_network(float_network(nodes, ("a", shape), ("b", shape), opset), "identity")

    return make


def random_samples(dtype, shape, seed=0):
    rng = np.random.default_rng(seed)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, (SAMPLES, *shape), dtype, endpoint=True)
    return (rng.normal(size=(SAMPLES, *shape)) * 1000).astype(dtype)


def range_of(samples):
    return float(samples.min()), float(samples.max())


def random_latents(shape, bits, seed=0):
    """A format whose coarsest channels saturate for values in 0..1."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.5, 4, shape[0]).astype(np.float32) / (1 << bits)
    offset = rng.uniform(0, 1, shape[0]).astype(np.float32)
    return LatentFormat(shape, bits, tuple(scale.tolist()), tuple(offset.tolist()))


def run(content, **values):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == list(values)
    return session.run(None, values)[0]


def encode(content, samples, step):
    return run(content, x=samples, step=np.float32([step]))


def decode(content, latents, step):
    return run(content, latents=latents, step=np.float32([step]))


def expected_values(samples, sample):
    values = samples.astype(sample.working_dtype)
    real = sample.working_dtype.type
    values = ((values - real(sample.offset)) * real(1 / sample.scale)).astype(np.float32)
    if sample.channels_last:
        values = np.moveaxis(values, -1, 1)
    return values.reshape(-1, *sample.network_shape)


def expected_latents(samples, sample, latent, step):
    values = expected_values(samples, sample)
    per_channel = (-1, *[1] * (len(latent.shape) - 1))
    scale, offset = (
        np.float32(numbers).reshape(per_channel) for numbers in (latent.scale, latent.offset)
    )
    limit = {8: 127, 16: 32767}[latent.bits]
    steps = np.rint((values - offset) / (scale * np.float32(step)))
    return np.clip(steps, -limit, limit).astype(f"int{latent.bits}")


def expected_reconstruction(latents, sample, latent, step):
    per_channel = (-1, *[1] * (len(latent.shape) - 1))
    scale, offset = (
        np.float32(numbers).reshape(per_channel) for numbers in (latent.scale, latent.offset)
    )
    values = latents.astype(np.float32) * (scale * np.float32(step)) + offset
    values = values.reshape(-1, *sample.network_shape)
    if sample.channels_last:
        values = np.moveaxis(values, 1, -1)
    values = values.reshape(-1, *sample.shape).astype(sample.working_dtype)
    real = sample.working_dtype.type
    return values * real(sample.scale) + real(sample.offset)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_both_graphs_compute_what_the_format_says(identity, dtype, view):
    shape, network_shape, channels_last = VIEWS[view]
    samples = random_samples(np.dtype(dtype), shape)
    network = identity(network_shape)
    sample = SampleFormat(
        shape, np.dtype(dtype), network_shape, range_of(samples), (0.0, 1.0), channels_last
    )
    np.testing.assert_array_equal(sample.to_network(samples), expected_values(samples, sample))
    for bits in (8, 16):
        latent = random_latents(network_shape, bits)
        encoder = build_encoder(network, sample, latent)
        decoder = build_decoder(network, sample, latent)
        for step in (1.0, 0.5, 2.0, 0.3):
            latents = encode(encoder, samples, step)
            expected = expected_latents(samples, sample, latent, step)
            assert latents.dtype == latent.dtype
            np.testing.assert_array_equal(latents, expected)
            decoded = decode(decoder, latents, step)
            assert decoded.dtype == sample.working_dtype
            np.testing.assert_array_equal(
                decoded, expected_reconstruction(latents, sample, latent, step)
            )


@pytest.mark.parametrize("view", VIEWS)
def test_a_sample_does_not_depend_on_its_batch(identity, view):
    shape, network_shape, channels_last = VIEWS[view]
    samples = random_samples(np.dtype("i2"), shape)
    sample = SampleFormat(
        shape, samples.dtype, network_shape, range_of(samples), (0.0, 1.0), channels_last
    )
    latent = random_latents(network_shape, 8)
    encoder = build_encoder(identity(network_shape), sample, latent)
    decoder = build_decoder(identity(network_shape), sample, latent)
    latents = encode(encoder, samples, 1.0)
    decoded = decode(decoder, latents, 1.0)
    for row in range(SAMPLES):
        np.testing.assert_array_equal(encode(encoder, samples[[row]], 1.0), latents[[row]])
        np.testing.assert_array_equal(decode(decoder, latents[[row]], 1.0), decoded[[row]])


def plain_format(dtype, shape=(4,), data_range=(0.0, 1.0)):
    """A format whose network sees the values as they are."""
    return SampleFormat(shape, np.dtype(dtype), shape, data_range, data_range)


def test_halves_are_rounded_to_even_and_the_rest_clipped(identity):
    latent = LatentFormat((4,), 8, (1.0,) * 4, (0.0,) * 4)
    encoder = build_encoder(identity((4,)), plain_format("f4"), latent)
    samples = np.float32([[0.5, 1.5, 2.5, -0.5], [-1.5, -2.5, 126.5, 127.5], [1e9, -1e9, -128, 0]])
    assert encode(encoder, samples, 1.0).tolist() == [
        [0, 2, 2, 0],
        [-2, -2, 126, 127],
        [127, -127, -127, 0],
    ]


def test_a_network_that_sees_values_as_they_are_costs_no_arithmetic(identity):
    latent = LatentFormat((4,), 8, (1.0,) * 4, (0.0,) * 4)
    decoder = onnx.load_from_string(build_decoder(identity((4,)), plain_format("f4"), latent))
    operations = [node.op_type for node in decoder.graph.node]
    assert operations == ["Mul", "Cast", "Mul", "Add", "Identity", "Identity"]


@pytest.mark.parametrize(
    ("dtype", "middle", "spread"),
    [("f8", 1e9, 1.0), ("i4", 2**31 - 2000, 1000), ("i8", 2**50, 1000), ("u8", 2**52, 1000)],
)
def test_values_far_from_zero_survive(identity, dtype, middle, spread):
    rng = np.random.default_rng(0)
    samples = (middle + rng.uniform(-1, 1, (SAMPLES, 4)) * spread).astype(dtype)
    sample = SampleFormat((4,), samples.dtype, (4,), range_of(samples), (0.0, 1.0))
    latent = LatentFormat((4,), 16, (0.6 / 32767,) * 4, (0.5,) * 4)
    latents = encode(build_encoder(identity((4,)), sample, latent), samples, 1.0)
    decoded = decode(build_decoder(identity((4,)), sample, latent), latents, 1.0)
    assert np.abs(decoded - samples.astype(np.float64)).max() < spread * 1e-4


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_wraps_into_the_pinned_ir(identity, opset):
    sample = SampleFormat((4, 6, 3), np.dtype("u1"), (3, 4, 6), (0.0, 255.0), channels_last=True)
    latent = random_latents((3, 4, 6), 8)
    samples = random_samples(sample.dtype, sample.shape)
    network = identity((3, 4, 6), opset)
    encoder, decoder = (
        build_encoder(network, sample, latent),
        build_decoder(network, sample, latent),
    )
    latents = encode(encoder, samples, 1.0)
    np.testing.assert_array_equal(latents, expected_latents(samples, sample, latent, 1.0))
    decode(decoder, latents, 1.0)
    for content in (encoder, decoder):
        model = onnx.load_from_string(content)
        assert model.ir_version == IR_VERSION
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]


def annotated_network(secret):
    """An encoder with a secret wherever exporters write their remarks."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Mul", ["a", "two"], ["doubled"], doc_string=secret),
        helper.make_node("Identity", ["doubled"], ["b"], doc_string=secret),
    ]
    weights = [numpy_helper.from_array(np.float32(2), "two")]
    weights[0].doc_string = secret
    inner = value("doubled", TensorProto.FLOAT, ["n", 3], doc_string=secret)
    helper.set_model_props(inner, {"stack_trace": secret})
    graph = helper.make_graph(
        nodes,
        secret,
        [value("a", TensorProto.FLOAT, ["n", 3], doc_string=secret)],
        [value("b", TensorProto.FLOAT, ["n", 3])],
        weights,
        secret,
        [inner],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("custom", 1)],
        ir_version=9,
        producer_name=secret,
        producer_version=secret,
        doc_string=secret,
    )
    helper.set_model_props(model, {"source": secret})
    helper.set_model_props(nodes[0], {"stack_trace": secret})
    return model.SerializeToString()


def test_no_tool_path_or_stack_trace_is_shipped():
    secret = "/home/someone/train.py"
    network = annotated_network(secret)
    assert network.count(secret.encode()) > 10
    sample, latent = (
        plain_format("u1", (3,), (0.0, 255.0)),
        LatentFormat((3,), 8, (1,) * 3, (0,) * 3),
    )
    samples = np.uint8([[1, 2, 3]])
    for build in (build_encoder, build_decoder):
        content = build(parse_network(network, "encoder"), sample, latent)
        assert content == build(parse_network(network, "encoder"), sample, latent)
        for leaked in (secret, "onnx.compose", "Graph combining", "pytorch", "stack_trace"):
            assert leaked.encode() not in content
    encoder = build_encoder(parse_network(network, "encoder"), sample, latent)
    assert encode(encoder, samples, 1.0).tolist() == [[2, 4, 6]]


def test_weights_that_are_inputs_too_are_weights():
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3]) for n in "ab"]
    weight = numpy_helper.from_array(np.float32([3, 3, 3]), "w")
    declared = helper.make_tensor_value_info("w", TensorProto.FLOAT, [3])
    nodes = [helper.make_node("Mul", ["a", "w"], ["b"])]
    graph = helper.make_graph(nodes, "old", [declared, values[0]], values[1:], [weight])
    opsets = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=3)
    network = parse_network(model.SerializeToString(), "encoder")
    assert input_shape(network) == (3,)
    latent = LatentFormat((3,), 8, (1,) * 3, (0,) * 3)
    encoder = build_encoder(network, plain_format("f4", (3,)), latent)
    assert encode(encoder, np.float32([[1, 2, 3]]), 1.0).tolist() == [[3, 6, 9]]


def test_a_network_that_contradicts_its_samples_is_refused(identity):
    latent = LatentFormat((4,), 8, (1.0,) * 4, (0.0,) * 4)
    with pytest.raises(InvalidInput, match=r"the network can't be wrapped: .+") as raised:
        build_encoder(identity((5,)), plain_format("f4", (4,)), latent)
    assert len(str(raised.value).splitlines()) == 1
