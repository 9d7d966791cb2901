import subprocess
import sys

import numpy as np
import pytest
from onnx import helper

from engine import CorruptCodec, DeviceUnavailable, InvalidInput
from engine.runtime.session import Network, run_bare_session


def test_a_bare_network_is_a_function_of_a_batch(linear_pair):
    encoder, decoder = linear_pair((4, 6), 24, seed=3)
    samples = np.random.default_rng(0).normal(size=(5, 4, 6)).astype(np.float32)
    latents = run_bare_session(encoder, "encoder")(samples)
    assert latents.shape == (5, 24)
    restored = run_bare_session(decoder, "decoder")(latents)
    np.testing.assert_allclose(restored, samples, atol=1e-3)


def test_a_bare_network_that_can_not_be_loaded_is_the_users():
    with pytest.raises(InvalidInput, match=r"mine: onnxruntime can't load the network: .+"):
        run_bare_session(b"garbage", "mine")


def test_an_operator_that_nobody_knows_is_the_users(float_network):
    nodes = [helper.make_node("Magic", ["a"], ["b"])]
    with pytest.raises(InvalidInput, match=r"mine: .*Magic") as raised:
        run_bare_session(float_network(nodes, ("a", (3,)), ("b", (3,))), "mine")
    assert len(str(raised.value).splitlines()) == 1


@pytest.fixture(scope="module")
def network_of_24(float_network):
    """Declares any size, but takes 24 elements a sample."""
    nodes = [helper.make_node("Reshape", ["a", "shape"], ["b"])]
    shape = np.array([-1, 24])
    return float_network(nodes, ("a", ("h", "w")), ("b", (24,)), shape=shape)


def test_samples_that_do_not_fit_are_one_line(network_of_24):
    run = run_bare_session(network_of_24, "mine")
    assert run(np.zeros((2, 4, 6), np.float32)).shape == (2, 24)
    with pytest.raises(
        InvalidInput, match=r"mine: can't be run on float32 of shape \(2, 5, 5\)"
    ) as e:
        run(np.zeros((2, 5, 5), np.float32))
    assert len(str(e.value).splitlines()) == 1
    with pytest.raises(InvalidInput, match="mine: expected one result a sample"):
        run(np.zeros((2, 12, 6), np.float32))


def test_onnxruntime_prints_nothing_of_a_failure(network_of_24, tmp_path):
    (tmp_path / "network.onnx").write_bytes(network_of_24)
    program = (
        "import sys, pathlib, numpy as np; from engine import InvalidInput\n"
        "from engine.runtime.session import run_bare_session\n"
        "run = run_bare_session(pathlib.Path(sys.argv[1]).read_bytes(), 'mine')\n"
        "try:\n"
        "    run(np.zeros((2, 5, 5), np.float32))\n"
        "except InvalidInput:\n"
        "    print('refused')\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "network.onnx"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (found.stdout, found.stderr) == ("refused\n", "")


def test_a_network_of_a_codec_names_its_ends(digits_codec):
    network = Network(digits_codec.files.role("encoder"), "cpu")
    assert (network.input_name, network.output_name) == ("x", "latents")
    assert network.session.get_providers() == ["CPUExecutionProvider"]


def test_a_network_that_fails_while_it_runs_is_one_line(digits_codec):
    network = Network(digits_codec.files.role("encoder"), "cpu")
    with pytest.raises(DeviceUnavailable, match=r"running a network on cpu failed: .+") as raised:
        network(np.zeros((1, 5, 5), np.uint8), np.ones(1, np.float32))
    assert len(str(raised.value).splitlines()) == 1


def test_a_graph_that_can_not_be_loaded_is_a_damaged_codec():
    with pytest.raises(CorruptCodec, match="onnxruntime can't load the network"):
        Network(b"garbage", "cpu")
