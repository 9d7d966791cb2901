"""FAISS's quantisers of vectors, where the package is installed."""

import numpy as np
import pytest

from engine.comparing.fidelity import measure_fidelity
from engine.comparing.held_out import HeldOut
from engine.comparing.method import INDEX_BYTES
from engine.comparing.peers.faiss import ProductQuantiser, ScalarQuantiser
from engine.comparing.peers.peer import Refused

METHODS = (ScalarQuantiser(), ProductQuantiser())
here = pytest.mark.skipif(not METHODS[0].is_installed, reason="faiss is not installed")


def vectors(count, width=32):
    basis = np.random.default_rng(0).standard_normal((8, width))
    return (np.random.default_rng(1).standard_normal((count, 8)) @ basis).astype(np.float32)


def split(count=600):
    found = vectors(count)
    return HeldOut(found[:-128], found[-128:], 64, count)


def test_settings_are_for_vectors():
    assert [[str(one) for one in method.settings(split())] for method in METHODS] == [
        ["bits 4", "bits 6", "bits 8"],
        ["bytes 2", "bytes 4", "bytes 8", "bytes 16"],
    ]
    images = np.zeros((8, 4, 4), np.uint8)
    assert all(not method.settings(HeldOut(images, images, 4, 16)) for method in METHODS)


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
def test_centroids_need_samples():
    data = split(300)
    with pytest.raises(Refused, match="256"):
        ProductQuantiser().code(data, ProductQuantiser().settings(data)[0])
