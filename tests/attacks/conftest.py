"""The good codec of the corpus, and codecs in which an attack took the place of one file."""

import dataclasses
import shutil

import pytest

from engine.codec.files import CodecFiles, file_entry
from tests.attacks.make_attacks import GOOD, GOOD_STORE, HERE


@pytest.fixture(scope="session")
def good_codec():
    """The folder of the codec that attacks are made of."""
    return HERE / GOOD


@pytest.fixture(scope="session")
def plant():
    """`plant(folder, name, content)`: a good codec at `folder` with another file `name`.

    Where that is a graph, the manifest says so: size and digest are those of the attack.
    """

    def run(folder, name, content):
        good = CodecFiles.load(HERE / GOOD)
        shutil.copytree(HERE / GOOD, folder)
        if name != "manifest.json":
            entries = tuple(
                file_entry(name, entry.role, content) if entry.name == name else entry
                for entry in good.manifest.files
            )
            manifest = dataclasses.replace(good.manifest, files=entries)
            (folder / "manifest.json").write_bytes(manifest.to_json())
        (folder / name).write_bytes(content)
        return folder

    return run


@pytest.fixture(scope="session")
def plant_store():
    """`plant_store(folder, objects)`: the good store at `folder` with these objects instead."""

    def run(folder, objects):
        shutil.copytree(HERE / GOOD_STORE, folder)
        for key, content in objects.items():
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(content)
        return folder

    return run
