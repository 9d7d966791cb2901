"""Channels last is chosen where it is faster, and only where there is a choice."""

import numpy as np
import pytest
from onnx import helper

from engine.codec.files import DECODER, ENCODER
from engine.codec.sample_format import SampleFormat
from engine.runtime.codec import Codec
from engine.runtime.cuda_options import EXACT, CudaOptions
from engine.runtime.device_encoding import DeviceEncoder
from engine.runtime.measured_batch import MeasuredBatch
from engine.runtime.network_lane import NetworkLane
from engine.runtime.packing import pack_networks
from engine.runtime.tensor_layout import _convolves, choose_layout, seconds

from ..devices import assert_same_latents, needs_gpu

pytest.importorskip("torch")

BOTH = (ENCODER, DECODER)


@pytest.fixture(scope="module")
def conv(float_network):
    """A codec of convolutions, on the CPU, and samples for it."""
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (70, 1, 8, 8), np.uint8)
    weights = {"weights": rng.normal(size=(4, 1, 4, 4)).astype(np.float32) / 4}
    strides = {"strides": [4, 4], "kernel_shape": [4, 4]}
    networks = [
        float_network([helper.make_node(kind, ["in", "weights"], ["out"], **strides)],
                      ("in", takes), ("out", gives), **weights)
        for kind, takes, gives in (
            ("Conv", (1, 8, 8), (4, 2, 2)), ("ConvTranspose", (4, 2, 2), (1, 8, 8)),
        )
    ]  # fmt: skip
    sample = SampleFormat((1, 8, 8), np.dtype("u1"), (1, 8, 8), (0.0, 255.0))
    return Codec(pack_networks(*networks, sample, samples, 8, training={}), "cpu"), samples


def test_networks_with_convolutions_are_told_apart(conv, digits_codec):
    assert all(_convolves(conv[0], role) for role in BOTH)
    assert not any(_convolves(digits_codec, role) for role in BOTH)


def test_where_there_is_no_choice_nothing_is_opened(conv, digits_codec):
    opened = []
    assert choose_layout(conv[0], BOTH, opened.append) == EXACT  # on the CPU
    assert choose_layout(digits_codec, BOTH, opened.append) == EXACT
    assert opened == []


def test_time_is_that_of_the_networks_named(conv):
    lane = NetworkLane(conv[0], 1.0, 32, BOTH)
    assert all(seconds(lane, roles) > 0 for roles in (BOTH, (ENCODER,), (DECODER,)))


@needs_gpu
@pytest.mark.parametrize("nhwc", [False, True])
def test_both_layouts_give_the_latents_of_the_cpu(conv, nhwc):
    codec, samples = conv
    lane = NetworkLane(codec.on("cuda"), 1.0, 128, BOTH, CudaOptions(nhwc=nhwc))
    with lane.queue:
        lane.encode(samples)
        latents = lane.latents.download(len(samples))
    assert_same_latents(latents, codec.encode(samples), "cuda")


@needs_gpu
def test_an_encoder_says_what_was_chosen(conv):
    codec, samples = conv
    encoder = DeviceEncoder(codec.on("cuda"), 1.0, 64)
    out = MeasuredBatch.empty(len(samples), codec.manifest.latent, measured=True)
    encoder(samples, out)
    assert_same_latents(out.latents, codec.encode(samples), "cuda")
    assert "batches of 64" in encoder.description
