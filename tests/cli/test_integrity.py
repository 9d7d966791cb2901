"""What the commands say of damaged stores, and with which exit code."""

import json
import os

import click.testing
import numpy as np
import pytest

from engine.cli import main

from ..kept_stores import shard_names
from ..laws import assert_same_tree, flip_bit


def run(*arguments):
    return click.testing.CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def kept(kept_store):
    return kept_store("max error")


@pytest.fixture
def damaged(kept, tmp_path):
    """A copy of a store with three damaged objects and a surplus one, and their names."""
    copy = kept.copy(tmp_path / "copy.zarr")
    names = [name for name in shard_names(copy) if "sidecars" not in name][::5]
    for name in names:
        flip_bit(copy / name, 77)
    (copy / "notes.txt").write_text("x")
    np.save(tmp_path / "data.npy", kept.data)
    return copy, names


def test_an_intact_store_is_ok_and_exits_with_0(kept):
    result = run("verify", kept.path, "--device", "cpu")
    assert result.exit_code == 0
    assert f"{kept.path}: ok (" in result.output


def test_a_damaged_store_exits_with_1_and_every_object_is_named(damaged):
    copy, names = damaged
    result = run("verify", copy, "--device", "cpu")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [*names, "notes.txt"]
    assert lines[-1].startswith(f"{copy}: {len(names) + 1} problems")
    result = run("verify", copy, "--json")
    assert result.exit_code == 1
    assert len(json.loads(result.output)["problems"]) == len(names) + 1


def test_a_damaged_head_exits_with_1(damaged):
    copy, _ = damaged
    flip_bit(copy / "zarr.json", 800)
    result = run("verify", copy)
    assert result.exit_code == 1
    assert "zarr.json: the head is damaged" in result.output


def test_an_object_whose_name_is_no_text_is_named_and_removed(kept, damaged, tmp_path):
    copy, _ = damaged
    os.close(os.open(os.fsencode(copy) + b"/\xff\n.x", os.O_CREAT))
    result = run("verify", copy)
    assert result.exit_code == 1
    assert "surplus" in result.output
    assert "unexpected" not in result.output
    result = run("repair", copy, "--from", tmp_path / "data.npy")
    assert result.exit_code == 0, result.output
    assert_same_tree(copy, kept.path)


def test_repair_says_what_it_did(kept, damaged, tmp_path):
    copy, names = damaged
    result = run("repair", copy, "--from", tmp_path / "data.npy", "--device", "cpu")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[:-1] == [*(f"made again: {name}" for name in names), "removed: notes.txt"]
    assert lines[-1] == f"{copy}: {len(names)} objects made again, as they were; 1 removed"
    assert_same_tree(copy, kept.path)
    report = json.loads(run("repair", copy, "--from", tmp_path / "data.npy", "--json").output)
    assert report == {"repaired": [], "removed": [], "shards": [], "identical": True}


def test_repair_takes_codec_and_sidecars(kept, damaged, tmp_path):
    copy, _ = damaged
    for path in copy.rglob("*"):
        if path.is_file() and path != copy / "zarr.json":
            path.unlink()
    command = ["repair", copy, "--from", tmp_path / "data.npy"]
    refused = run(*command)
    assert refused.exit_code == 1
    assert refused.output.startswith("error: ") and refused.output.count("\n") == 1
    kept.codec.save(tmp_path / "it.codec")
    for name, values in kept.options["sidecars"].items():
        np.save(tmp_path / f"{name}.npy", values)
        command += ["--with", tmp_path / f"{name}.npy"]
    result = run(*command, "--codec", tmp_path / "it.codec")
    assert result.exit_code == 0, result.output
    assert_same_tree(copy, kept.path)
