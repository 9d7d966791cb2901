import dataclasses
import os
import re
from itertools import pairwise

import numpy as np
import pytest
from onnx import helper

from engine import Codec, CorruptCodec
from engine.codec.certificate import read_certificate, uncertified_reason
from engine.codec.files import CERTIFICATE
from engine.codec.sample_format import SampleFormat
from engine.jobs.certificate import certificate_at
from engine.runtime import certification
from engine.runtime.certification import build_certificate, probe_candidates
from engine.runtime.drift import certify
from engine.runtime.float64_decoder import evaluate_float64
from engine.runtime.packing import finish_codec, pack_networks, wrap_networks
from engine.runtime.session import Network

from ..conftest import principal_components

WIDTH, LAYERS = 96, 5


@pytest.fixture(scope="module")
def certified(digits_codec):
    return digits_codec, read_certificate(digits_codec.files)


def deep_decoder(float_network, latent_dim, shape, seed=0):
    """Dense layers of random weights with x * sigmoid(x) between them: rounding errors grow."""
    rng, nodes, weights, value = np.random.default_rng(seed), [], {}, "z"
    sizes = [latent_dim, *[WIDTH] * LAYERS, int(np.prod(shape))]
    for layer, (inner, outer) in enumerate(pairwise(sizes)):
        scale = np.sqrt(4 / inner)
        weights[f"w{layer}"] = np.float32(rng.normal(size=(inner, outer)) * scale)
        nodes.append(helper.make_node("MatMul", [value, f"w{layer}"], [f"m{layer}"]))
        nodes.append(helper.make_node("Sigmoid", [f"m{layer}"], [f"s{layer}"]))
        nodes.append(helper.make_node("Mul", [f"m{layer}", f"s{layer}"], [f"a{layer}"]))
        value = f"a{layer}"
    nodes.append(helper.make_node("Reshape", [value, "shape"], ["y"]))
    weights["shape"] = np.array([-1, *shape])
    return float_network(nodes, ("z", (latent_dim,)), ("y", shape), **weights)


@pytest.fixture(scope="module")
def deep_codec(float_network, linear_pair, digits):
    encoder, _ = linear_pair((28, 28), 16)
    sample = SampleFormat((28, 28), np.dtype("u1"), (28, 28), (0.0, 255.0))
    decoder = deep_decoder(float_network, 16, (28, 28))
    return Codec(pack_networks(encoder, decoder, sample, digits[::5], 8, training={}), "cpu")


def float_codec(float_network, linear_pair, nodes, data_range=(-4.0, 4.0), dtype="f4", **weights):
    """A codec of float samples `(24,)` whose decoder has these nodes, from `z` to `y`."""
    middle = (data_range[0] + data_range[1]) / 2
    data = (middle + np.random.default_rng(0).uniform(-4, 4, (300, 24))).astype(dtype)
    sample = SampleFormat((24,), data.dtype, (24,), data_range, (-4.0, 4.0))
    decoder = float_network(nodes, ("z", (24,)), ("y", (24,)), **weights)
    encoder, _ = linear_pair((24,), 24)
    return Codec(pack_networks(encoder, decoder, sample, data, 8, training={}), "cpu")


def test_packing_writes_a_certificate(certified):
    codec, certificate = certified
    (entry,) = (e for e in codec.manifest.files if e.role == CERTIFICATE)
    assert entry.name == "probes.bin"
    assert entry.size_bytes <= 24 * 1024
    assert certificate.step == 1.0
    assert certificate.tolerance >= 8 * certificate.deviation > 0
    assert certificate.tolerance >= 4 * np.spacing(np.abs(certificate.reference).max(), dtype="f4")
    assert len(certificate.latents) == len(np.unique(certificate.latents, axis=0)) == 32


def test_the_reference_is_the_output_in_float64(certified):
    codec, certificate = certified
    decoder = codec.files.role("decoder")
    exact = evaluate_float64(decoder, certificate.latents, 1.0, 28 * 28)
    rows = np.arange(len(exact))[:, None]
    np.testing.assert_array_equal(exact[rows, certificate.positions], certificate.reference)


def test_probes_hold_the_extremes(certified):
    _, certificate = certified
    probes = [set(np.unique(probe)) for probe in certificate.latents]
    assert [{0}, {127}, {-127}] == probes[:3]
    assert {-127, 127} in probes
    assert sum(len(probe) > 8 for probe in probes) > 8


def test_candidates_hold_single_channels_and_the_largest_outputs(digits, digits_codec):
    found = probe_candidates(digits_codec, digits)
    assert len(found) >= 250
    assert found.dtype == np.int8
    assert set(np.count_nonzero(found, axis=1)) >= {0, 1, 32}
    real = digits_codec.encode(digits[::10])
    outputs = np.abs(digits_codec.reconstruct(real)).reshape(len(real), -1).max(axis=1)
    largest = real[outputs.argmax()]
    assert (found == largest).all(axis=1).any()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_few_samples_are_enough(digits, make_codec, count):
    codec = make_codec(digits[:count], 4)
    certificate = read_certificate(codec.files)
    assert certify(codec, certificate, "here") <= certificate.accepted


def test_large_latents_have_fewer_probes(make_codec):
    data = np.random.default_rng(0).integers(0, 256, (40, 50, 50)).astype(np.uint8)
    codec = make_codec(data, 2000, bits=16)
    assert len(read_certificate(codec.files).latents) == 8


def test_small_samples_are_compared_whole(make_codec):
    data = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)
    certificate = read_certificate(make_codec(data, 3).files)
    np.testing.assert_array_equal(certificate.positions, np.tile(np.arange(5), (32, 1)))


def test_two_certificates_are_equal(digits, make_codec):
    first, second = (make_codec(digits[:500], 8).files.role(CERTIFICATE) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("step", [0.3, 4.0])
def test_a_certificate_for_another_step(certified, step, digits):
    """Its probes stand for what the others do, or for as much as 8 bits hold."""
    codec, certificate = certified
    made = certificate_at(codec, step)
    assert made.step == float(np.float32(step))
    assert made.latents.shape == certificate.latents.shape
    exact = certificate.latents / made.step
    assert (np.abs(made.latents - exact.clip(-127, 127)) < 1).all()
    assert (np.abs(made.latents) >= np.abs(exact.clip(-127, 127))).all()
    assert certify(codec, made, "here") <= made.accepted
    assert made.covers(codec.encode(digits[::7], step)).all()


def test_probes_keep_to_twice_what_real_latents_reach(make_codec):
    """Of a codec of one step, most of whose channels use few of their 16 bits."""
    data = np.random.default_rng(0).laplace(size=(500, 40)) * np.geomspace(1, 1e-3, 40)
    data = data.astype(np.float32)
    sample = make_codec(data, 30).manifest.sample
    networks = principal_components(sample.to_network(data), 30)
    files = wrap_networks(*networks, sample, data, 16, {}, spacing=2e-3)
    codec = Codec(finish_codec(files, data, "float32"), "cpu")
    largest = np.abs(codec.encode(data)).max(axis=0).astype(int)
    assert largest[0] > 100 > 4 > largest[-1]
    found = np.abs(probe_candidates(codec, data).astype(int)).max(axis=0)
    np.testing.assert_array_equal(found, np.maximum(2 * largest, largest + 2))
    certificate = read_certificate(codec.files)
    assert certificate.covers(codec.encode(data)).all()
    assert not certificate.covers(codec.encode(data * 3)).all()
    assert certificate.accepted < 1e-5 * np.ptp(data)


@pytest.mark.parametrize("middle", [0.0, 1e6, -1e12])
def test_float64_samples_are_as_coarse_as_their_network(float_network, linear_pair, middle):
    nodes = [helper.make_node("Tanh", ["z"], ["y"])]
    data_range = (middle - 4, middle + 4)
    codec = float_codec(float_network, linear_pair, nodes, data_range, dtype="f8")
    certificate = read_certificate(codec.files)
    assert 1e-7 < certificate.accepted < max(1e-5, 10 * np.spacing(abs(middle)))
    assert certify(codec, certificate, "here") <= certificate.deviation


def configurations(codec):
    content = codec.files.role("decoder")
    for threads, optimised in ((1, True), (1, False), (os.cpu_count(), True)):
        yield Network(content, "cpu", threads, optimised=optimised)


def largest_deviation(codec, latents):
    """Of all configurations and some batch sizes from the float64 evaluation."""
    worst, step = 0.0, np.ones(1, np.float32)
    for start in range(0, len(latents), 2048):
        block = latents[start : start + 2048]
        exact = evaluate_float64(codec.files.role("decoder"), block, 1.0, 28 * 28)
        for network in configurations(codec):
            for size in (3, 64, 2048):
                for first in range(0, len(block) if size > 3 else 300, size):
                    found = network(block[first : first + size], step)
                    apart = found.reshape(len(found), -1) - exact[first : first + size]
                    worst = max(worst, float(np.abs(apart).max()))
    return worst


def many_latents(codec, samples, count):
    rng = np.random.default_rng(7)
    uniform = rng.integers(-127, 128, (count, 16)).astype(np.int8)
    saturated = rng.choice((-127, 127), (count, 16)).astype(np.int8)
    return np.concatenate([uniform, saturated, codec.encode(samples)])


def test_no_run_of_a_deep_random_network_leaves_what_is_accepted(deep_codec, digits):
    certificate = read_certificate(deep_codec.files)
    found = largest_deviation(deep_codec, many_latents(deep_codec, digits[1::10], 750))
    assert certificate.deviation / 2 < found < certificate.accepted


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_nor_do_a_hundred_thousand(float_network, linear_pair, digits, seed):
    encoder, _ = linear_pair((28, 28), 16, seed)
    sample = SampleFormat((28, 28), np.dtype("u1"), (28, 28), (0.0, 255.0))
    decoder = deep_decoder(float_network, 16, (28, 28), seed)
    codec = Codec(pack_networks(encoder, decoder, sample, digits[::5], 8, training={}), "cpu")
    certificate = read_certificate(codec.files)
    found = largest_deviation(codec, many_latents(codec, digits, 50_000))
    print(f"{found / certificate.deviation:.2f} times the deviation seen at build")
    assert found < certificate.accepted


@pytest.mark.parametrize(
    ("nodes", "weights", "reason"),
    [
        ([("Round", ["z"], "y")], {}, "its decoder has Round between latents and output"),
        (
            [("Sub", ["z", "far"], "a"), ("Add", ["a", "far"], "y")],
            {"far": np.float32([1e6])},
            "its decoder differs by .* between float32 and float64",
        ),
        (
            [("ReduceMean", ["z", "axis"], "m"), ("Sub", ["z", "m"], "y")],
            {"axis": np.array([0])},
            "its decoder differs by .* between float32 and float64",
        ),
    ],
)
def test_decoders_that_can_not_be_certified(float_network, linear_pair, nodes, weights, reason):
    made = [helper.make_node(op, takes, [gives]) for op, takes, gives in nodes]
    codec = float_codec(float_network, linear_pair, made, (-400.0, 400.0), **weights)
    assert read_certificate(codec.files) is None
    assert all(entry.role != CERTIFICATE for entry in codec.manifest.files)
    found = uncertified_reason(codec.manifest)
    assert re.match(reason, found)


def test_a_decoder_that_overflows_at_a_larger_step(float_network, linear_pair):
    codec = float_codec(float_network, linear_pair, [helper.make_node("Exp", ["z"], ["y"])])
    latents = read_certificate(codec.files).latents
    found = build_certificate(codec.files, latents, 1e3)
    assert found == "its decoder returns NaN or Inf for some latents"


def test_an_operator_that_float64_lacks_is_a_reason(float_network, linear_pair):
    latents = np.zeros((1, 24), np.int8)
    nodes = [
        helper.make_node("Unsqueeze", ["z", "axis"], ["a"]),
        helper.make_node("ConvTranspose", ["a", "w"], ["b"], output_shape=[24]),
        helper.make_node("Squeeze", ["b", "axis"], ["y"]),
    ]
    weights = {"axis": np.array([1]), "w": np.ones((1, 1, 1), np.float32)}
    codec = float_codec(float_network, linear_pair, nodes, **weights)
    found = build_certificate(codec.files, latents)
    assert found == ("its decoder can't be evaluated in float64 (ConvTranspose with output_shape)")


def test_a_codec_without_its_decoder_is_damaged(certified):
    codec, certificate = certified
    contents = {name: b for name, b in codec.files.contents.items() if name != "decoder.onnx"}
    files = dataclasses.replace(codec.files, contents=contents)
    with pytest.raises(CorruptCodec, match="without its decoder"):
        build_certificate(files, certificate.latents)


def test_chosen_rows_are_the_extremes_the_farthest_and_some_of_the_rest():
    apart = np.linspace(1, 2, 100)
    chosen = certification._chosen(apart, 32)
    assert chosen[:3].tolist() == [0, 1, 2]
    assert set(range(90, 100)) <= set(chosen)
    assert len(set(chosen)) == 32
    assert (chosen < 50).sum() > 8
