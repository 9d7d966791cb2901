"""What the command that compares codecs prints and takes."""

import json

import click.testing
import numpy as np
import pytest

from engine.cli import main
from engine.cli.comparing import PEERS, TRAINED


def run(*arguments):
    return click.testing.CliRunner().invoke(main, ["bench", *map(str, arguments)])


@pytest.fixture
def data(digits, tmp_path):
    np.save(tmp_path / "digits.npy", digits[:300])
    return tmp_path / "digits.npy"


def test_the_help_names_every_family():
    from engine.comparing.families import FAMILIES
    from engine.jobs.train import FOR_A_RATE

    assert tuple(FAMILIES) == PEERS
    assert FOR_A_RATE == TRAINED


def test_a_table_and_advice_are_printed(data):
    result = run(data, "--train", "nothing", "--peers", "zstd")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert "300 samples (28, 28) uint8" in lines[0]
    assert any(line.split()[:2] == ["zstd-3", "lossless"] for line in lines)
    assert lines[-1].startswith("advice: No codec of ours was measured")


def test_json_is_json(data):
    result = run(data, "--train", "nothing", "--peers", "zstd", "--json")
    found = json.loads(result.output)
    assert [point["method"] for point in found["points"]] == ["zstd-3", "zstd-19"]
    assert found["points"][0]["sample_bytes"] == found["points"][0]["payload_bytes"] / 64


def test_the_folder_is_named_and_filled(data, tmp_path):
    result = run(data, "--train", "nothing", "--peers", "zstd", "--out", tmp_path / "compared")
    assert result.output.splitlines()[-1] == f"wrote {tmp_path / 'compared'}"
    assert (tmp_path / "compared" / "index.html").exists()


def test_errors_take_one_line(tmp_path):
    result = run(tmp_path / "absent.npy")
    assert result.exit_code == 1
    assert result.output.startswith("error: ") and result.output.count("\n") == 1
