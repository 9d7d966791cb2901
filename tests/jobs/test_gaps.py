import numpy as np
import pytest

import engine
from engine.jobs.gaps import fill_gaps, without_gaps
from engine.jobs.survey import Survey
from engine.sources import open_source


def test_gaps_take_the_mean_of_their_sample():
    samples = np.float32([[1, np.nan, 3], [np.inf, -9999, 5], [np.nan, np.nan, np.nan], [7, 8, 9]])
    found = Survey(1.0, 9.0, 5, (-9999.0,))
    filled = fill_gaps(samples, found.verbatim(samples), found)
    assert filled.tolist() == [[1, 2, 3], [5, 5, 5], [1, 1, 1], [7, 8, 9]]


def test_nothing_is_copied_where_nothing_is_lacking():
    samples = np.ones((2, 3), np.float32)
    assert fill_gaps(samples, None, Survey(1.0, 1.0, 0, ())) is samples


def test_a_source_reads_without_its_gaps():
    samples = np.float64([[0, 1], [2, np.nan], [1e20, 3], [1e20, 4]])
    with open_source(samples) as source:
        rows = without_gaps(source, "auto").read(0, 4)
    assert rows.tolist() == [[0, 1], [2, 2], [3, 3], [4, 4]]


def test_a_codec_of_data_with_gaps_keeps_them_bit_for_bit(linear_pair, tmp_path):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(60, 12)).astype(np.float32)
    data[:, 3], data[5, 7] = np.nan, np.inf
    paths = [tmp_path / "encoder.onnx", tmp_path / "decoder.onnx"]
    for path, content in zip(paths, linear_pair((12,), 4), strict=True):
        path.write_bytes(content)
    with pytest.raises(engine.InvalidInput, match="sample 0 holds nan"):
        engine.pack(*paths, tmp_path / "my.codec", data)
    codec = engine.pack(*paths, tmp_path / "my.codec", data, fill_gaps=True)
    engine.compress(data, tmp_path / "it.zarr", codec, max_error=0.01, device="cpu")
    decoded = np.asarray(engine.open(tmp_path / "it.zarr", device="cpu"))
    kept = np.isfinite(data)
    np.testing.assert_array_equal(decoded[~kept], data[~kept])
    assert np.abs(decoded[kept] - data[kept]).max() <= 0.01
