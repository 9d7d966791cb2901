"""Every file of the corpus is refused with its error, in little memory, reading nothing else."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.attacks.make_attacks import CODEC_ATTACKS, HERE, TABLE, main
from tests.laws import assert_same_tree

ALLOWED_BYTES = 200 << 20
PROCESSES = 2
ATTACKS = json.loads((HERE / TABLE).read_text())


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, good_codec, plant):
    """What became of every attack and of the good codec: error, message, files opened."""
    root = tmp_path_factory.mktemp("attacks").resolve()
    os.mkfifo(root / "outside.bin")  # whoever reads it waits for ever
    folders = {
        row["file"]: plant(
            root / f"{number}.codec", row["replaces"], (HERE / row["file"]).read_bytes()
        )
        for number, row in enumerate(ATTACKS)
    }
    shutil.copytree(good_codec, root / "good.codec")
    planted = [str(folder) for folder in folders.values()]
    runs = [
        start(root, [str(root / "good.codec"), *planted[first::PROCESSES]])
        for first in range(PROCESSES)
    ]
    found = {}
    for run in runs:
        for folder, *outcome in finish(run):
            found[folder] = outcome
    return {name: found[str(folder)] for name, folder in folders.items()} | {
        "good": found[str(root / "good.codec")]
    }


def start(root, folders):
    script = str(HERE / "run_attacks.py")
    process = subprocess.Popen(
        [sys.executable, script, str(root), str(ALLOWED_BYTES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
        text=True,
    )
    process.stdin.write(json.dumps(folders))
    process.stdin.close()
    return process


def finish(process):
    with process:
        found = process.stdout.read()
    assert process.returncode == 0
    return json.loads(found)


def test_the_good_codec_is_opened(outcomes):
    assert outcomes["good"] == ["", "2 networks opened", []]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda row: row["file"])
def test_an_attack_is_refused(attack, outcomes):
    error, message, opened = outcomes[attack["file"]]
    assert error == attack["error"], message
    assert attack["message"] in message
    assert len(message.splitlines()) == 1
    assert len(message) < 1000
    assert opened == []


def test_the_table_lists_the_files():
    listed = sorted(row["file"] for row in ATTACKS)
    assert listed == sorted(f"{CODEC_ATTACKS}/{p.name}" for p in (HERE / CODEC_ATTACKS).iterdir())


def test_the_files_are_what_the_script_makes(tmp_path):
    main(tmp_path)
    assert json.loads((tmp_path / TABLE).read_text()) == ATTACKS
    assert_same_tree(tmp_path / CODEC_ATTACKS, HERE / CODEC_ATTACKS)
