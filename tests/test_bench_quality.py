"""The benchmark of quality: its data, and a run of a few samples."""

import json
import sys

import numpy as np
import pytest

from bench import quality
from bench.packaged_fields import cut_tiles
from bench.quality_data import LOADERS, TILE
from bench.sentences import docstring_sentences
from bench.subject import Demand, Result, coarsest
from engine.comparing.fidelity import Fidelity
from engine.comparing.peers.peer import is_installed

from .comparing.points import point

peers_are_here = pytest.mark.skipif(
    not (is_installed("imagecodecs") and is_installed("skimage")),
    reason="latent-engine[bench] is not installed",
)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def few(*names):
    return quality.run(names, most_samples=128, epochs=1)


@peers_are_here
def test_cells_stand_beside_what_they_should_reach(tmp_path, capsys):
    found = few("turbulence")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found["ratios"]) == [
        "turbulence within 1% of the range, SZ3 / ours",
        "turbulence within 1% of the range / klt",
    ]
    (points,) = found["cells"].values()
    assert list(points) == ["transform", "klt", "SZ3", "quantised + JPEG XL"]
    assert all(0 < point["sample_bytes"] < TILE**2 * 4 for point in points.values())
    assert points["klt"]["sample_bytes_in_all"] > points["klt"]["sample_bytes"]
    assert "train klt for max_error" in capsys.readouterr().out
    assert not list((tmp_path / "latent-engine" / "quality").iterdir())  # it ended


@peers_are_here
@pytest.mark.slow
def test_a_run_that_was_cut_off_goes_on(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(quality, "print_ratios", None)  # fails once all is measured
        with pytest.raises(TypeError):
            few("turbulence")
    assert "train klt" in capsys.readouterr().out
    few("turbulence")
    assert "train" not in capsys.readouterr().out


def test_data_whose_package_is_missing_are_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "iris_sample_data", None)
    found = few("fields")
    assert list(found["left_out"]) == ["fields"] and found["cells"] == {}


@peers_are_here
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LOADERS if name != "embeddings"])
def test_every_data_set_has_its_cells(name):
    found = few(name)
    assert found["cells"] and not found["left_out"]
    assert all("reached" in ratio for ratio in found["ratios"].values())


def test_tiles_are_cut_line_by_line():
    field = np.arange(2 * 5 * 7, dtype=np.float32).reshape(2, 5, 7)
    tiles = cut_tiles(field, 2)
    assert tiles.shape == (2 * 2 * 3, 2, 2)
    np.testing.assert_array_equal(tiles[1], field[0, :2, 2:4])
    np.testing.assert_array_equal(tiles[-1], field[1, 2:4, 4:6])


@pytest.mark.slow
def test_sentences_are_many_and_distinct():
    found = docstring_sentences()
    assert len(set(found)) == len(found) > 10_000
    assert all(text[0].isupper() and text[-1] in ".!?" for text in found)


@pytest.mark.parametrize("limit", [0.5, 1.3, 9.0])
def test_bisection_finds_the_coarsest_that_meets(limit):
    def measured(value):
        return Fidelity(psnr_db=-value, max_abs_error=0.0)

    found = coarsest(measured, Demand("psnr_db", -limit), 0.4, 2.0)
    assert found == pytest.approx(min(limit, 2.0), rel=0.01)


def test_what_is_not_good_enough_counts_as_raw_samples():
    measured = point("WebP", 20, 25.0)
    assert Result(measured, 64, 5000, 784).sample_bytes == 20 - 2 * 16 / 100
    assert Result(measured, 64, 5000, 784, is_enough=False).sample_bytes == 784
