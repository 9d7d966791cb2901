"""The page on latents: its classifier runs, and learns what the latents hold."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import engine
from bench import latents

PAGE = Path(__file__).parents[2] / "docs" / "latents.md"


def test_the_classifier_of_the_page_learns(digits, digit_labels, digits_codec, tmp_path):
    # The digits come sorted by label; the page takes the first 4,000 for training.
    mixed = [row for start in range(5) for row in range(start, len(digits), 5)]
    labels = {"labels": digit_labels[mixed]}
    engine.compress(digits[mixed], tmp_path / "digits.zarr", digits_codec, sidecars=labels)
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert float(result.stdout) > 0.8


@pytest.mark.slow
def test_the_comparison_and_the_map_that_the_page_shows(tmp_path):
    accuracy = latents.run(tmp_path / "map.png", epochs=2, arch="dense")["accuracy"]
    assert accuracy["latents"] > accuracy["raw pixels"] - 0.1
    assert accuracy["PCA of the same size"] > 0.8
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    for name in accuracy:
        assert f"| {name} |" in PAGE.read_text()
