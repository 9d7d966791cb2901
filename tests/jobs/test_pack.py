import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import engine
from engine import Codec, CorruptCodec, DeviceUnavailable, InvalidInput
from engine.runtime.device import cuda_problem


@pytest.fixture
def pack(tmp_path):
    """Packs networks, given as bytes, into `tmp_path / "my.codec"`."""

    def run(networks, data, **options):
        paths = tmp_path / "encoder.onnx", tmp_path / "decoder.onnx"
        for path, content in zip(paths, networks, strict=True):
            path.write_bytes(content)
        return engine.pack(*paths, tmp_path / "my.codec", data, **{"device": "cpu"} | options)

    return run


def samples(shape=(4, 6), dtype="f4", count=200):
    return np.random.default_rng(0).uniform(10, 200, (count, *shape)).astype(dtype)


def test_a_packed_codec_is_saved_and_encodes(pack, linear_pair, tmp_path):
    data = samples()
    codec = pack(linear_pair((4, 6), 24), data, bits=16)
    assert isinstance(codec, Codec)
    assert np.abs(codec.decode(codec.encode(data)) - data).max() < 0.5
    loaded = Codec.load(tmp_path / "my.codec", "cpu")
    assert loaded.digest == codec.digest
    np.testing.assert_array_equal(loaded.encode(data), codec.encode(data))


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "i8", "f2", "f4", "f8"])
def test_samples_keep_their_dtype(pack, linear_pair, dtype):
    data = samples(dtype=dtype)
    codec = pack(linear_pair((4, 6), 24), data, bits=16, input_range=(0, 1))
    assert codec.dtype == data.dtype
    assert codec.decode(codec.encode(data)).dtype == data.dtype
    assert np.abs(codec.decode(codec.encode(data)).astype(float) - data).max() < 1.1


@pytest.mark.parametrize(
    ("shape", "network_shape"),
    [
        ((12, 12), (144,)),
        ((12, 12), (1, 12, 12)),
        ((8, 9, 3), (3, 8, 9)),
        ((8, 9, 3), (8, 9, 3)),
        ((8, 9, 3), (216,)),
        ((2, 3, 4, 5), (2, 3, 4, 5)),
        ((5,), (5,)),
    ],
)
def test_networks_see_samples_the_way_they_declare(pack, linear_pair, shape, network_shape):
    data = samples(shape)
    codec = pack(linear_pair(network_shape, int(np.prod(shape))), data, bits=16)
    assert codec.sample_shape == shape
    assert codec.manifest.sample.network_shape == network_shape
    assert np.abs(codec.decode(codec.encode(data)) - data).max() < 3


def convolutions():
    """A 1x1 convolution of three channels each way, of images of any height and width."""
    value = helper.make_tensor_value_info
    weights = onnx.numpy_helper.from_array(np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "w")
    for _ in range(2):
        graph = helper.make_graph(
            [helper.make_node("Conv", ["a", "w"], ["b"])],
            "convolution",
            [value("a", TensorProto.FLOAT, ["n", 3, "height", "width"])],
            [value("b", TensorProto.FLOAT, ["n", 3, "height", "width"])],
            [weights],
        )
        opsets = [helper.make_opsetid("", 17)]
        yield helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def test_images_of_a_free_size(pack):
    data = samples((8, 9, 3), "u1")
    codec = pack(convolutions(), data)
    assert codec.latent_shape == (3, 8, 9)
    assert np.abs(codec.decode(codec.encode(data)).astype(int) - data).max() <= 1


def test_values_are_mapped_onto_what_the_networks_expect(pack, linear_pair):
    data = samples(dtype="u1")
    sample = pack(linear_pair((4, 6), 5), data, input_range=(-1, 1)).manifest.sample
    assert (sample.data_range, sample.network_range) == ((0, 255), (-1, 1))
    assert np.abs(sample.to_network(data)).max() <= 1


@pytest.mark.parametrize("middle", [1e9, -1e12])
def test_values_far_from_zero_survive_with_an_input_range(pack, linear_pair, middle):
    data = middle + np.random.default_rng(0).uniform(-1, 1, (200, 4, 6))
    codec = pack(linear_pair((4, 6), 24), data, bits=16, input_range=(0, 1))
    assert np.abs(codec.decode(codec.encode(data)) - data).max() < 0.01


@pytest.mark.parametrize("count", [1, 2, 63, 65])
def test_few_samples_are_enough(pack, linear_pair, count):
    data = samples(count=count)
    codec = pack(linear_pair((4, 6), 24), data, bits=16)
    assert codec.manifest.calibration["samples"] == count
    assert np.abs(codec.decode(codec.encode(data)) - data).max() < 0.5


def test_a_codec_is_only_replaced_when_asked(pack, linear_pair, tmp_path):
    first = pack(linear_pair((4, 6), 5), samples())
    with pytest.raises(InvalidInput, match="--overwrite"):
        pack(linear_pair((4, 6), 7), samples())
    assert Codec.load(tmp_path / "my.codec", "cpu").digest == first.digest
    second = pack(linear_pair((4, 6), 7), samples(), overwrite=True)
    assert Codec.load(tmp_path / "my.codec", "cpu").digest == second.digest


def assert_nothing_written(tmp_path):
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decoder.onnx", "encoder.onnx"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 4}, "bits must be 8 or 16, got 4"),
        ({"bits": "8"}, "bits must be 8 or 16"),
        ({"input_range": (1, 1)}, "input_range must be LOW < HIGH"),
        ({"input_range": (1, 0)}, "input_range must be LOW < HIGH"),
        ({"input_range": (0, np.inf)}, "input_range must be LOW < HIGH"),
        ({"input_range": (0, 1, 2)}, "input_range must be LOW < HIGH"),
        ({"device": "gpu"}, "device must be auto, cpu or cuda"),
        ({"key": "nothing"}, "nothing"),
    ],
)
def test_options_that_mean_nothing_are_refused(pack, linear_pair, tmp_path, options, message):
    with pytest.raises(InvalidInput, match=message):
        pack(linear_pair((4, 6), 5), samples(), **options)
    assert_nothing_written(tmp_path)


@pytest.mark.skipif(cuda_problem() is None, reason="this machine has CUDA")
def test_a_missing_device_is_noticed_before_anything_is_written(pack, linear_pair, tmp_path):
    with pytest.raises(DeviceUnavailable, match="--device cuda"):
        pack(linear_pair((4, 6), 5), samples(), device="cuda")
    assert_nothing_written(tmp_path)


def test_other_networks_are_refused_in_one_line(pack, linear_pair, tmp_path):
    encoder, decoder = linear_pair((4, 6), 5)
    wide_encoder, wide_decoder = linear_pair((4, 7), 5)
    swapped = (decoder, encoder)
    for networks, message in (
        ((b"garbage", decoder), r"encoder\.onnx: not a usable ONNX model"),
        ((encoder[:-9], decoder), r"encoder\.onnx: not a usable ONNX model"),
        ((encoder, decoder[:-9]), r"decoder: not a usable ONNX model"),
        ((wide_encoder, decoder), r"takes samples of shape \(4, 7\), the data has .*\(4, 6\)"),
        ((encoder, wide_decoder), r"the decoder returns samples of shape \(4, 7\)"),
        ((encoder, linear_pair((4, 6), 6)[1]), r"the decoder takes latents of shape \(6\)"),
        (swapped, r"takes samples of shape \(5\)"),
    ):
        with pytest.raises(InvalidInput, match=message) as raised:
            pack(networks, samples())
        assert len(str(raised.value).splitlines()) == 1
    assert_nothing_written(tmp_path)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_calibration_data_must_be_finite(pack, linear_pair, tmp_path, value):
    data = samples()
    data[17, 2, 3] = value
    with pytest.raises(InvalidInput, match=rf"sample 17 holds {value} at index \(17, 2, 3\)"):
        pack(linear_pair((4, 6), 5), data)
    assert_nothing_written(tmp_path)


def test_networks_that_overflow_name_the_remedy(pack, linear_pair, tmp_path):
    with pytest.raises(InvalidInput, match="input_range"):
        pack(linear_pair((4, 6), 5), samples(dtype="f8") * 1e100)
    assert_nothing_written(tmp_path)


def test_files_that_are_not_there(tmp_path):
    for decoder in (tmp_path / "nothing.onnx", tmp_path):
        with pytest.raises(InvalidInput, match=f"^{decoder}: can't be read: "):
            engine.pack(decoder, decoder, tmp_path / "my.codec", samples())
    (tmp_path / "encoder.onnx").touch()
    with pytest.raises(InvalidInput, match="both as ONNX files or both as torch modules"):
        engine.pack(tmp_path / "encoder.onnx", object(), tmp_path / "my.codec", samples())


def test_a_codec_without_its_decoder_does_not_load(pack, linear_pair, tmp_path):
    pack(linear_pair((4, 6), 5), samples())
    (tmp_path / "my.codec" / "decoder.onnx").unlink()
    with pytest.raises(CorruptCodec, match=r"my\.codec: decoder\.onnx is missing"):
        Codec.load(tmp_path / "my.codec")
