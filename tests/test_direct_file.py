"""Files written past the system's cache hold what was written, and errors come out."""

import errno
import fcntl
import os

import numpy as np
import pytest

from engine import direct_file
from engine.direct_file import DirectFile

ROOM = 8192


@pytest.fixture(autouse=True)
def small_rooms(monkeypatch):
    monkeypatch.setattr(direct_file, "_ROOM_BYTES", ROOM)


def content(size):
    return np.random.default_rng(size).integers(0, 256, size, np.uint8)


def write(path, values, piece):
    with DirectFile(path) as file:
        for start in range(0, len(values), piece):
            file.write(values[start : start + piece])


@pytest.mark.parametrize("piece", [1000, ROOM, 3 * ROOM + 5])
@pytest.mark.parametrize("size", [0, 1, ROOM - 1, ROOM, ROOM + 1, 5 * ROOM + 77])
def test_all_bytes_in_order(tmp_path, size, piece):
    write(tmp_path / "x", content(size), piece)
    assert (tmp_path / "x").read_bytes() == content(size).tobytes()


def test_what_was_written_may_change_afterwards(tmp_path):
    values = np.zeros((100, 30), np.float32)
    with DirectFile(tmp_path / "x") as file:
        for number in range(20):
            values[...] = number
            file.write(values)
    found = np.fromfile(tmp_path / "x", np.float32).reshape(20, -1)
    assert (found == np.arange(20)[:, None]).all()


@pytest.fixture
def writes(monkeypatch):
    """Sizes of the writes, and whether each went past the cache."""
    seen, pwrite = [], os.pwrite

    def watched(descriptor, left, position):
        direct = bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & direct_file._DIRECT)
        seen.append((len(left), direct))
        return pwrite(descriptor, left, position)

    monkeypatch.setattr(os, "pwrite", watched)
    return seen


@pytest.mark.skipif(not direct_file._DIRECT, reason="this system has no such writes")
def test_all_but_the_end_goes_past_the_cache(tmp_path, writes):
    write(tmp_path / "x", content(3 * ROOM + 9), 500)
    if not writes[0][1]:
        pytest.skip("this file system takes no such writes")
    assert writes == [(ROOM, True)] * 3 + [(9, False)]


def test_a_file_system_that_refuses_gets_it_through_the_cache(tmp_path, monkeypatch, writes):
    watched = os.pwrite

    def refuse(descriptor, left, position):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & direct_file._DIRECT:
            raise OSError(errno.EINVAL, "not aligned")
        return watched(descriptor, left, position)

    monkeypatch.setattr(os, "pwrite", refuse)
    write(tmp_path / "x", content(3 * ROOM + 9), 500)
    assert (tmp_path / "x").read_bytes() == content(3 * ROOM + 9).tobytes()
    assert not any(direct for _, direct in writes)


def test_short_writes_are_gone_on_with(tmp_path, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda d, left, position: pwrite(d, left[:4096], position))
    write(tmp_path / "x", content(4 * ROOM), 500)
    assert (tmp_path / "x").read_bytes() == content(4 * ROOM).tobytes()


@pytest.mark.parametrize("size", [9, ROOM, 4 * ROOM])
def test_a_full_disk_is_an_error(tmp_path, monkeypatch, size):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "x", content(size), 500)


def test_nothing_more_is_written_after_an_error(tmp_path, writes):
    with pytest.raises(KeyboardInterrupt), DirectFile(tmp_path / "x") as file:
        file.write(content(100))
        raise KeyboardInterrupt
    assert writes == []
