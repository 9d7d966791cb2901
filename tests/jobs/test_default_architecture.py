"""What is trained where nobody chose an architecture."""

import numpy as np
import pytest

import engine
from engine.jobs.default_architecture import default_architecture


@pytest.mark.parametrize(
    ("shape", "targeted", "expected"),
    [
        ((384,), False, "transform"),
        ((28, 28), True, "transform"),
        ((256, 256, 3), False, "conv"),
        ((256, 256, 3), True, "conv-transform"),
        ((9, 9, 9, 9), True, "klt"),
    ],
)
def test_it_follows_the_size_of_a_sample(shape, targeted, expected):
    assert default_architecture(shape, targeted=targeted) == expected


def test_few_samples_are_not_given_a_network(tmp_path):
    samples = np.random.default_rng(0).normal(size=(200, 30)).cumsum(1).astype(np.float32)
    options = engine.train(samples, tmp_path / "it.codec", device="cpu").manifest.training[
        "options"
    ]
    assert (options["architecture"], options["better_than"]) == ("klt", "transform")


@pytest.mark.parametrize("max_error", [0.5, "5%"])
def test_a_codec_for_a_bound_takes_it_in_either_unit(max_error, tmp_path):
    samples = np.linspace(0, 10, 4000, dtype=np.float32).reshape(400, 10)
    codec = engine.train(
        samples, tmp_path / "it.codec", arch="klt", max_error=max_error, device="cpu"
    )
    asked = codec.manifest.training["options"]["architecture_options"]
    assert asked == {"max_error": pytest.approx(0.5)}
    report = engine.compress(samples, tmp_path / "it.zarr", codec, max_error=max_error)
    assert report.max_abs_error <= 0.5


def test_cosine_is_for_vectors_and_the_linear_codec(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    options = {"metric": "cosine", "target_bytes": 4, "device": "cpu"}
    codec = engine.train(vectors, tmp_path / "it.codec", **options)
    assert codec.manifest.training["options"]["metric"] == "cosine"
    for samples, arch in ((vectors, "transform"), (vectors.reshape(60, 2, 4), "klt")):
        with pytest.raises(engine.InvalidInput, match="is for vectors and arch 'klt'"):
            engine.train(samples, tmp_path / "no.codec", arch=arch, **options)
