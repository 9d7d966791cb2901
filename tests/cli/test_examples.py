"""Every command is documented, with an example that runs as it stands."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest

from engine.cli import main

README = Path(__file__).parents[2] / "README.md"
# In the order in which a user runs them: each may need what the ones before it made.
ORDER = ("train", "compress", "decode", "encode", "info", "verify", "repair", "pack", "bench")


def run_engine(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine", *shlex.split(line)[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def help_of(command: str) -> str:
    return " ".join((main.commands[command].help or "").split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory, digits, digit_labels, linear_pair):
    made = tmp_path_factory.mktemp("examples")
    np.save(made / "digits.npy", digits[:300])
    np.save(made / "labels.npy", digit_labels[:300])
    for name, content in zip(("encoder", "decoder"), linear_pair((28, 28), 8, 0), strict=True):
        (made / f"{name}.onnx").write_bytes(content)
    return made


def test_the_order_names_every_command():
    assert sorted(ORDER) == sorted(main.commands)


@pytest.fixture(scope="module")
def results(folder):
    lines = {name: re.search(r"Example: (engine .*)", help_of(name))[1] for name in ORDER}
    return {name: run_engine(line, folder) for name, line in lines.items()}


@pytest.mark.parametrize("name", ORDER)
def test_the_example_in_the_help_runs(results, name):
    result = results[name]
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert result.stdout


@pytest.mark.parametrize("name", ORDER)
def test_readme_shows_the_command(name):
    assert f"engine {name}" in README.read_text()


@pytest.mark.parametrize("name", ORDER)
def test_every_option_has_help(name):
    for option in main.commands[name].params:
        if isinstance(option, click.Option) and option.name != "help":
            assert option.help or option.show_default, option.name


def test_the_readme_commands_for_own_data_run(digits, tmp_path):
    np.save(tmp_path / "digits.npy", digits[:300])
    block = re.search(r"## Your own data.*?```\n(.*?)```", README.read_text(), re.DOTALL)[1]
    for line in block.strip().splitlines():
        command = line.replace(".venv/bin/engine", "engine").replace("DATA", "digits.npy")
        result = run_engine(command, tmp_path)
        assert result.returncode == 0, result.stderr
    assert np.load(tmp_path / "some.npy").shape == (10, 28, 28)


def test_json_is_json(results, folder):
    for line in (
        "engine info digits.zarr --json",
        "engine info digits.codec --json",
        "engine verify digits.zarr --json",
        "engine repair digits.zarr --from digits.npy --json",
        "engine compress digits.npy digits.zarr --codec digits.codec --max-error 8 --json",
        "engine decode digits.zarr j.npy --json",
        "engine encode digits.npy k.npy --codec digits.codec --json",
    ):
        result = run_engine(line, folder)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)


def test_errors_take_one_line_and_a_code(folder):
    for line in (
        "engine compress absent.npy new.zarr --codec digits.codec",
        "engine compress digits.npy new.zarr --codec absent.codec",
        "engine info absent",
        "engine verify absent.zarr",
        "engine repair absent.zarr --from digits.npy",
        "engine decode absent.zarr out.npy",
        "engine train absent.npy new.codec",
        "engine pack absent.onnx absent.onnx new.codec --calibrate digits.npy",
        "engine compress digits.npy new.zarr --codec digits.codec --device cuda",
    ):
        result = run_engine(line, folder)
        assert result.returncode == 1, line
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
        assert result.stdout == ""
    assert not (folder / "new.zarr").exists() and not (folder / "new.codec").exists()


def test_the_help_names_every_architecture():
    from engine.cli.making import ARCHITECTURES
    from engine.training import ARCHITECTURES as REGISTERED

    assert sorted(ARCHITECTURES) == sorted(REGISTERED)


def test_what_nobody_foresaw_is_one_line_too(folder):
    result = run_engine("engine train digits.npy odd.codec --arch dense --latent-dim 10000000000", folder)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
