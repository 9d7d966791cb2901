"""FAISS's quantisers of vectors, where the package is installed."""

import numpy as np
import pytest

from engine.comparing.fidelity import measure_fidelity
from engine.comparing.method import INDEX_BYTES
from engine.comparing.peers.faiss import (
    OptimisedProductQuantiser,
    ProductQuantiser,
    RaBitQuantiser,
    ScalarQuantiser,
)
from engine.comparing.peers.peer import Refused
from engine.comparing.split_samples import SplitSamples

METHODS = (ScalarQuantiser(), ProductQuantiser(), OptimisedProductQuantiser())
here = pytest.mark.skipif(not METHODS[0].is_installed, reason="faiss is not installed")


def vectors(count, width=32):
    basis = np.random.default_rng(0).standard_normal((8, width))
    return (np.random.default_rng(1).standard_normal((count, 8)) @ basis).astype(np.float32)


def split(count=600):
    found = vectors(count)
    return SplitSamples(found[:-128], found[-128:], 64, count)


def test_settings_are_for_vectors():
    assert [[str(one) for one in method.settings(split())] for method in METHODS] == [
        ["bits 4", "bits 6", "bits 8"],
        *[["bytes 2", "bytes 4", "bytes 8", "bytes 16"]] * 2,
    ]
    images = np.zeros((8, 4, 4), np.uint8)
    assert all(not method.settings(SplitSamples(images, images, 4, 16)) for method in METHODS)


@here
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_more_bytes_find_more_neighbours(method, capfd):
    data = split()
    settings = method.settings(data)
    coded = [method.code(data, setting) for setting in settings]
    recalls = [measure_fidelity(data.test, one.decoded).recall_at_10 for one in coded]
    assert recalls == sorted(recalls) and recalls[-1] > 0.5
    width = 32 if settings[-1].unit == "bits" else 16
    assert coded[-1].payload_bytes == 128 * width + 2 * INDEX_BYTES
    assert capfd.readouterr().err == ""


@here
def test_signs_alone_find_some_neighbours():
    data, method = split(), RaBitQuantiser()
    (setting,) = method.settings(data)
    coded = method.code(data, setting)
    assert 128 * 32 / 8 < coded.payload_bytes < 128 * 16
    assert 0.2 < measure_fidelity(data.test, coded.decoded).recall_at_10 < 1


@here
def test_centroids_need_samples():
    data = split(300)
    with pytest.raises(Refused, match="256"):
        ProductQuantiser().code(data, ProductQuantiser().settings(data)[0])
