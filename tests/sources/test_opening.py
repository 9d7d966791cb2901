import os
import subprocess
import sys

import numpy as np
import pytest

from engine.errors import InvalidInput, StorageError
from engine.sources import open_source


@pytest.mark.parametrize("name", ["no.npy", "no/such/folder", "no.npz::images", "nul\0byte.npy"])
def test_no_such_path(tmp_path, name):
    with pytest.raises(InvalidInput, match="expected a file or a folder, found nothing"):
        open_source(tmp_path / name)


def test_a_device_is_no_file():
    with pytest.raises(InvalidInput, match="found something else"):
        open_source(os.devnull)


def test_unknown_kind_lists_what_is_accepted(tmp_path):
    (tmp_path / "x.csv").write_text("a,b,c\n")
    with pytest.raises(InvalidInput) as error:
        open_source(tmp_path / "x.csv")
    message = str(error.value)
    assert "\n" not in message
    for word in ("x.csv", ".npy", ".npz", "IDX", "Zarr", "images", "b'a,b,c"):
        assert word in message


def test_empty_file(tmp_path):
    (tmp_path / "x.npy").touch()
    with pytest.raises(InvalidInput, match=r"x\.npy: expected .* found 0 bytes"):
        open_source(tmp_path / "x.npy")


def test_a_pickle_is_never_loaded(tmp_path):
    (tmp_path / "x.npy").write_bytes(np.array([[{}]], dtype=object).dumps())
    with pytest.raises(InvalidInput, match=r"expected \.npy"):
        open_source(tmp_path / "x.npy")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 2)))
    (tmp_path / "x.npy").chmod(0)
    with pytest.raises(StorageError, match=r"x\.npy: can't be read .*Permission denied"):
        open_source(tmp_path / "x.npy")


def test_what_the_file_system_refuses(tmp_path):
    with pytest.raises(StorageError, match=r"can't be read .*too long"):
        open_source("x" * 5000)


def test_importing_sources_is_light():
    heavy = "{'zarr', 'PIL', 'torch', 'onnxruntime'}"
    program = f"import sys, engine.sources; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout.strip() == b"set()"
