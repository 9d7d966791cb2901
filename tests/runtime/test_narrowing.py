import math

import numpy as np
import onnx
import pytest

from engine import Codec, InvalidInput
from engine.codec.certificate import read_certificate
from engine.codec.files import DECODER, ENCODER
from engine.codec.graph import NETWORK_PREFIX
from engine.codec.narrow_weights import count_weights, widened
from engine.codec.sample_format import SampleFormat
from engine.runtime.drift import certify
from engine.runtime.encoder_choice import psnr_loss_db
from engine.runtime.encoder_variants import make_variant
from engine.runtime.float64_decoder import evaluate_float64
from engine.runtime.narrowing import check_weights, narrow_networks
from engine.runtime.packing import pack_networks
from engine.runtime.round_trip import RoundTrip, loss_db
from engine.store.byte_array import stored_bytes

KINDS = ["auto", "float16", "int8"]


@pytest.fixture(scope="module")
def own(digits, make_codec):
    """64 principal components of half of the digits."""
    return make_codec(digits[::2], 64)


@pytest.fixture(scope="module", params=KINDS)
def narrow(request, digits, make_codec):
    """The same, with narrow weights."""
    return request.param, make_codec(digits[::2], 64, weights=request.param)


def error(codec, samples):
    return RoundTrip(codec.files.role(ENCODER), codec.files.role(DECODER), samples).own


def test_quality_stays_on_samples_that_nothing_was_fitted_to(narrow, own, digits):
    kind, codec = narrow
    loss = loss_db(error(codec, digits[1::2]), error(own, digits[1::2]))
    assert loss < (0.025 if kind == "auto" else 0.01)
    assert codec.manifest.calibration["weights"] == kind
    assert codec.manifest.calibration["weights_loss_db"] <= 0.02


def test_networks_become_small(narrow, own):
    kind, codec = narrow
    most = {"auto": 0.17, "int8": 0.3, "float16": 0.55}[kind]
    for role in (ENCODER, DECODER):
        assert stored_bytes(codec.files.role(role)) < most * stored_bytes(own.files.role(role))
        counts = count_weights(onnx.load_from_string(codec.files.role(role)), NETWORK_PREFIX)
        assert counts["float16" if kind == "float16" else "int8"] >= 64 * 784
    assert own.files.memory(DECODER).sample_bytes == codec.files.memory(DECODER).sample_bytes


def test_the_reference_of_the_certificate_has_these_very_weights(narrow):
    _, codec = narrow
    certificate, decoder = read_certificate(codec.files), codec.files.role(DECODER)
    wide = widened(onnx.load_from_string(decoder)).SerializeToString()
    exact, expected = (
        evaluate_float64(content, certificate.latents, 1.0, 784) for content in (decoder, wide)
    )
    np.testing.assert_array_equal(exact, expected)
    assert certify(codec, certificate, "here") <= certificate.accepted


def test_cheaper_encoders_are_made_of_narrow_ones(narrow, digits):
    _, codec = narrow
    for name in ("int8", "float16"):
        content = make_variant(codec.files, name, digits[::10])
        variant = codec.with_encoder(name, content)
        assert psnr_loss_db(codec, variant, digits[1:500], 1.0, 9.0) < 0.05
        if name == "int8":
            operators = {node.op_type for node in onnx.load_from_string(content).graph.node}
            assert "MatMulInteger" in operators


def test_two_are_equal(digits, make_codec):
    first, second = (make_codec(digits[:300], 8, weights="auto").files for _ in range(2))
    assert first == second


def test_where_nothing_may_be_lost_weights_stay(linear_pair):
    """An orthonormal map there and back at 16 bits, whose samples come back as they were."""
    data = np.random.default_rng(0).integers(0, 256, (300, 40)).astype(np.uint8)
    sample = SampleFormat((40,), data.dtype, (40,), (0.0, 255.0))
    pair = linear_pair((40,), 40)
    plain, kept = (
        pack_networks(*pair, sample, data, 16, training={}, weights=weights)
        for weights in ("float32", "auto")
    )
    codec = Codec(kept, "cpu")
    np.testing.assert_array_equal(codec.decode(codec.encode(data)), data)
    assert kept.role(DECODER) == plain.role(DECODER)
    assert kept.manifest.calibration["weights_loss_db"] == 0
    lossy = narrow_networks(plain, data[::2], data[1::2], "int8")
    assert lossy.measured["weights_loss_db"] is None  # infinite


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_samples_are_enough(count, digits, make_codec):
    codec = make_codec(digits[:count], 3, weights="auto")
    assert codec.decode(codec.encode(digits[:count])).shape == (count, 28, 28)


def test_weights_beyond_float16_stay_float32(linear_pair):
    data = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32) * 1e-7
    sample = SampleFormat((40,), data.dtype, (40,), (-1e-6, 1e-6))
    encoder, decoder = (onnx.load_from_string(content) for content in linear_pair((40,), 8))
    (weight,) = (t for t in decoder.graph.initializer if t.name == "weights")
    large = onnx.numpy_helper.to_array(weight) * np.float32(1e6)
    weight.CopyFrom(onnx.numpy_helper.from_array(large, "weights"))
    pair = encoder.SerializeToString(), decoder.SerializeToString()
    files = pack_networks(*pair, sample, data, 8, training={}, weights="float16")
    counts = [
        count_weights(onnx.load_from_string(files.role(role)), NETWORK_PREFIX)
        for role in (ENCODER, DECODER)
    ]
    assert counts[0]["float16"] == 320
    assert counts[1] == {"float32": 360}


def test_other_weights_are_refused():
    with pytest.raises(InvalidInput, match="one of auto, float32, float16, int8, got 'int4'"):
        check_weights("int4")


def test_losses_in_decibels():
    assert loss_db(2.0, 1.0) == pytest.approx(3.0103)
    assert loss_db(0.0, 0.0) == loss_db(0.0, 1.0) == 0.0
    assert loss_db(1.0, 0.0) == math.inf
