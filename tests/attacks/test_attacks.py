"""Every file of the corpus is refused with its error, in little memory, reading nothing else."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.attacks.make_attacks import (
    CODEC_ATTACKS,
    GOOD,
    GOOD_STORE,
    HERE,
    STORE_ATTACKS,
    TABLE,
    main,
    read_objects,
)
from tests.laws import assert_same_tree

ALLOWED_BYTES = 200 << 20
PROCESSES = 2
ATTACKS = json.loads((HERE / TABLE).read_text())


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, plant, plant_store):
    """What became of every attack and of what is good: errors and messages, files opened."""
    root = tmp_path_factory.mktemp("attacks").resolve()
    os.mkfifo(root / "outside.bin")  # whoever reads it waits for ever
    folders = {
        row["file"]: plant_store(root / f"{number}.zarr", read_objects(HERE / row["file"]))
        if row["file"].startswith(STORE_ATTACKS)
        else plant(root / f"{number}.codec", row["replaces"], (HERE / row["file"]).read_bytes())
        for number, row in enumerate(ATTACKS)
    }
    good = [shutil.copytree(HERE / name, root / name) for name in (GOOD, GOOD_STORE)]
    folders |= {name: root / name for name in (GOOD, GOOD_STORE)}
    planted = [str(folder) for folder in folders.values() if folder not in good]
    runs = [
        start(root, [*map(str, good), *planted[first::PROCESSES]]) for first in range(PROCESSES)
    ]
    found = {}
    for run in runs:
        for folder, *outcome in finish(run):
            found[folder] = outcome
    return {name: found[str(folder)] for name, folder in folders.items()}


def start(root, folders):
    script = str(HERE / "run_attacks.py")
    process = subprocess.Popen(
        [sys.executable, script, str(root), str(ALLOWED_BYTES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
        text=True,
        env=os.environ | {"MALLOC_ARENA_MAX": "1"},  # limits are of address space
    )
    process.stdin.write(json.dumps(folders))
    process.stdin.close()
    return process


def finish(process):
    with process:
        found = process.stdout.read()
    assert process.returncode == 0
    return json.loads(found)


@pytest.mark.parametrize("name", [GOOD, GOOD_STORE])
def test_what_is_good_is_read(name, outcomes):
    assert outcomes[name] == [[], []]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda row: row["file"])
def test_an_attack_is_refused(attack, outcomes):
    errors, opened = outcomes[attack["file"]]
    error, message = errors[0]
    assert error == attack["error"], message
    assert attack["message"] in message
    assert [m for _, m in errors if len(m.splitlines()) != 1 or len(m) > 1000] == []
    assert opened == []


def test_the_table_lists_the_files():
    listed = sorted(row["file"] for row in ATTACKS)
    folders = (CODEC_ATTACKS, STORE_ATTACKS)
    assert listed == sorted(f"{name}/{p.name}" for name in folders for p in (HERE / name).iterdir())


def test_the_files_are_what_the_script_makes(tmp_path):
    main(tmp_path)
    assert json.loads((tmp_path / TABLE).read_text()) == ATTACKS
    assert_same_tree(tmp_path / CODEC_ATTACKS, HERE / CODEC_ATTACKS)
    for path in (HERE / STORE_ATTACKS).iterdir():
        assert read_objects(tmp_path / STORE_ATTACKS / path.name) == read_objects(path), path.name
