import numpy as np
import pytest
from onnx import helper

from engine import Codec, InvalidInput
from engine.codec.files import file_entry
from engine.codec.sample_format import SampleFormat
from engine.runtime.packing import finish_codec, matching_view, pack_networks, wrap_networks


def sample_of(shape=(4, 6), data_range=(-5.0, 5.0)):
    return SampleFormat(shape, np.dtype("f4"), shape, data_range, data_range)


def samples(count=300, shape=(4, 6)):
    return np.random.default_rng(0).uniform(-4, 4, (count, *shape)).astype(np.float32)


@pytest.mark.parametrize(("bits", "worst"), [(8, 2.0), (16, 0.01)])
def test_a_lossless_pair_loses_what_quantisation_takes(linear_pair, bits, worst):
    networks = linear_pair((4, 6), 24, seed=1)
    files = pack_networks(*networks, sample_of(), samples(), bits, training={"arch": "own"})
    codec = Codec(files, "cpu")
    decoded = codec.decode(codec.encode(samples()))
    assert np.abs(decoded - samples()).max() < worst
    assert files.manifest.training == {"arch": "own"}
    assert files.manifest.latent.bits == bits
    for entry in files.manifest.files:
        assert file_entry(entry.name, entry.role, files.contents[entry.name]) == entry


@pytest.mark.parametrize("count", [1, 5, 1024, 1025, 3000])
def test_the_manifest_says_what_was_measured(linear_pair, count):
    data = samples(count)
    files = pack_networks(*linear_pair((4, 6), 24), sample_of(), data, 8, training={})
    measured = files.manifest.calibration
    assert measured["samples"] == {1025: 513, 3000: 1000}.get(count, count)
    assert measured["latents"] == measured["samples"] * 24
    assert measured["saturated"] == 0
    codec = Codec(files, "cpu")
    taken = data[:: -(-count // 1024)]
    error = np.mean((codec.decode(codec.encode(taken)).astype(float) - taken) ** 2)
    psnr = 20 * np.log10(10) - 10 * np.log10(error)
    assert measured["psnr_db"] == pytest.approx(psnr, abs=0.006)


def test_two_packings_are_equal(linear_pair):
    packed = [
        pack_networks(*linear_pair((4, 6), 5), sample_of(), samples(), 8, training={})
        for _ in range(2)
    ]
    assert packed[0] == packed[1]


def test_further_files_are_carried_along(linear_pair):
    extra = {"curve.png": ("learning-curve", b"picture")}
    files = wrap_networks(*linear_pair((4, 6), 5), sample_of(), samples(), 8, {}, extra)
    files = finish_codec(files, samples(), "float32")
    assert files.role("learning-curve") == b"picture"


@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_constant_data(linear_pair, constant):
    data = np.full((10, 4, 6), constant, np.float32)
    sample = sample_of(data_range=(constant, constant))
    codec = Codec(pack_networks(*linear_pair((4, 6), 24), sample, data, 8, training={}), "cpu")
    np.testing.assert_allclose(codec.decode(codec.encode(data)), data, atol=1e-4)


@pytest.mark.parametrize(
    ("declared", "shape", "view"),
    [
        ((5,), (5,), ((5,), False)),
        ((1, 5), (5,), ((1, 5), False)),
        ((28, 28), (28, 28), ((28, 28), False)),
        ((1, 28, 28), (28, 28), ((1, 28, 28), False)),
        ((784,), (28, 28), ((784,), False)),
        ((None,), (28, 28), ((784,), False)),
        ((1, None, None), (28, 28), ((1, 28, 28), False)),
        ((None, None), (28, 28), ((28, 28), False)),
        ((3, 8, 9), (8, 9, 3), ((3, 8, 9), True)),
        ((3, None, None), (8, 9, 3), ((3, 8, 9), True)),
        ((8, 9, 3), (8, 9, 3), ((8, 9, 3), False)),
        ((216,), (8, 9, 3), ((216,), False)),
        ((3, 3, 3), (3, 3, 3), ((3, 3, 3), False)),
        ((1, 4, 5, 6), (4, 5, 6), ((1, 4, 5, 6), False)),
    ],
)
def test_views_that_networks_take(declared, shape, view):
    assert matching_view(declared, shape) == view


@pytest.mark.parametrize(
    ("declared", "shape", "named"),
    [
        ((784,), (28, 27), r"\(784\).*\(28, 27\)"),
        ((28, 28), (784,), r"\(28, 28\).*\(784,\)"),
        ((9, 3, 8), (8, 9, 3), r"\(9, 3, 8\)"),
        ((3, None, 7), (8, 9, 3), r"\(3, any, 7\)"),
        ((None, None, None, None, None), (5,), r"\(any, any, any, any, any\)"),
    ],
)
def test_views_that_no_network_takes_are_refused(declared, shape, named):
    with pytest.raises(InvalidInput, match=f"the encoder takes samples of shape {named}"):
        matching_view(declared, shape)


@pytest.fixture(scope="module")
def reshape(float_network):
    """A network `(batch, *takes)` to `(-1, *gives)` that declares the latter as `declares`."""

    def make(takes, gives, declares=None):
        nodes = [helper.make_node("Reshape", ["a", "shape"], ["b"])]
        shape = np.array([-1, *gives])
        return float_network(nodes, ("a", takes), ("b", declares or gives), shape=shape)

    return make


def refused(encoder, decoder, message):
    with pytest.raises(InvalidInput, match=message) as raised:
        pack_networks(encoder, decoder, sample_of(), samples(), 8, training={})
    assert len(str(raised.value).splitlines()) == 1


def test_a_decoder_of_other_latents_is_refused(reshape):
    encoder = reshape((4, 6), (24,))
    refused(encoder, reshape((12,), (4, 6)), r"decoder takes latents of shape \(12\).*\(24,\)")
    refused(encoder, reshape((4, 6), (4, 6)), r"decoder takes latents of shape \(4, 6\)")


def test_a_decoder_of_other_samples_is_refused(reshape):
    encoder = reshape((4, 6), (24,))
    refused(encoder, reshape((24,), (6, 4)), r"returns samples of shape \(6, 4\).*\(4, 6\)")
    undeclared = reshape((24,), (12,), ("any",))
    refused(encoder, undeclared, r"returns samples of shape \(any\)")
    undeclared = reshape((24,), (6, 4), ("h", "w"))
    refused(encoder, undeclared, r"the decoder returns \(2, 6, 4\) for two samples")


def test_networks_that_mix_samples_are_refused(reshape):
    mixing = reshape((4, 6), (48,), ("any",))
    refused(mixing, reshape((48,), (4, 6)), "encoder: can't be run|expected one result a sample")
    undeclared = reshape((24,), (2, 4, 6), ("a", "b", "c"))
    refused(reshape((4, 6), (24,)), undeclared, "decoder")


def test_a_network_that_is_not_what_it_declares_is_refused(reshape):
    refused(
        reshape(("h", "w"), (5, 5)), reshape((5, 5), (4, 6)), "encoder: can't be run on float32"
    )
    refused(b"garbage", b"garbage", "encoder: not a usable ONNX model")
    refused(reshape((4, 6), (24,)), b"garbage", "decoder: not a usable ONNX model")
