"""The lease: one job a store, for as long as its process lives."""

import subprocess
import sys

import pytest

from engine.errors import IncompatibleStore, StorageError
from engine.store.lease import lease

HOLD = (
    "import sys, time; from pathlib import Path; from engine.store.lease import lease\n"
    "with lease(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
)


def test_a_second_job_is_refused_until_the_first_ends(tmp_path):
    refused = pytest.raises(IncompatibleStore, match="another job is writing")
    with lease(tmp_path), refused, lease(tmp_path):
        pass
    with lease(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_lease_of_a_killed_process_ends_with_it(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout.readline() == "held\n"
        with pytest.raises(IncompatibleStore), lease(tmp_path):
            pass
        job.kill()
    with lease(tmp_path):
        pass


def test_a_folder_that_vanished(tmp_path):
    with pytest.raises(StorageError, match="can't open the folder"), lease(tmp_path / "gone"):
        pass
