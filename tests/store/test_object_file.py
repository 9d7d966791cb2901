"""A file of a store that stays open: whole reads from anywhere, whatever the system gives."""

import os

import pytest

from engine.store.object_file import ObjectFile

CONTENT = bytes(range(100))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "object"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(params=[1, 7, 50, 1000])
def most_bytes(request, monkeypatch):
    """What one call of the system reads at most; in truth that is 2 GiB."""
    pread = os.pread
    monkeypatch.setattr(
        os, "pread", lambda file, length, start: pread(file, min(length, request.param), start)
    )


@pytest.mark.usefixtures("most_bytes")
@pytest.mark.parametrize("start", [0, 1, 49, 99, 100, 200])
@pytest.mark.parametrize("length", [0, 1, 14, 50, 100, 1000])
def test_a_read_is_whole_however_little_the_system_gives(start, length, path):
    assert ObjectFile(path).read(start, length) == CONTENT[start : start + length]
    assert ObjectFile(path).read_first(length) == CONTENT[:length]


def test_a_read_that_the_system_gives_whole_takes_one_call(path, monkeypatch):
    calls, pread = [], os.pread
    monkeypatch.setattr(os, "pread", lambda *where: (calls.append(where), pread(*where))[1])
    file = ObjectFile(path)
    assert file.read(10, 80) == CONTENT[10:90]
    assert [call[1:] for call in calls] == [(80, 10)]


def test_a_folder_or_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(IsADirectoryError):
            ObjectFile(place)
