import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from engine import StorageError
from engine.staging import staged

from .laws import tree


def write_folder(path, text):
    path.mkdir()
    (path / "inner").write_text(text)


def test_a_file_appears_when_the_block_ends(tmp_path):
    with staged(tmp_path / "a" / "out") as made:
        made.write_text("new")
        assert not (tmp_path / "a" / "out").exists()
    assert tree(tmp_path) == {"a": None, "a/out": b"new"}


@pytest.mark.parametrize("write", [lambda path, text: path.write_text(text), write_folder])
def test_what_was_there_is_replaced(tmp_path, write):
    for text in ("old", "new"):
        with staged(tmp_path / "out") as made:
            write(made, text)
    files = [content for content in tree(tmp_path).values() if content is not None]
    assert files == [b"new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("failure", [RuntimeError("stop"), KeyboardInterrupt()])
def test_a_failure_leaves_what_was_there_and_nothing_beside_it(tmp_path, failure):
    write_folder(tmp_path / "out", "old")
    with pytest.raises(type(failure)), staged(tmp_path / "out") as made:
        write_folder(made, "half")
        raise failure
    assert tree(tmp_path) == {"out": None, "out/inner": b"old"}


def test_a_block_that_makes_nothing_gives_back_the_folder_that_was_there(tmp_path):
    write_folder(tmp_path / "out", "old")
    with pytest.raises(StorageError, match="out: can't write it"), staged(tmp_path / "out"):
        pass
    assert tree(tmp_path) == {"out": None, "out/inner": b"old"}


def test_a_kill_leaves_what_was_there(tmp_path):
    write_folder(tmp_path / "out", "old")
    program = (
        "import os, signal, sys; from engine.staging import staged\n"
        "with staged(sys.argv[1]) as made:\n"
        "    made.mkdir(); (made / 'inner').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, tmp_path / "out"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "out" / "inner").read_text() == "old"


def test_what_a_kill_left_is_swept_by_the_next_of_the_same_path_alone(tmp_path):
    write_folder(tmp_path / "out", "old")
    program = (
        "import os, signal, sys; from engine.staging import staged\n"
        "with staged(sys.argv[1]) as made:\n"
        "    made.mkdir(); (made / 'inner').write_text('half')\n"
        "    os.rename(sys.argv[1], made.parent / 'replaced')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "out"], check=False)
    assert not (tmp_path / "out").exists()
    with staged(tmp_path / "another") as made:
        made.write_text("new")
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(RuntimeError), staged(tmp_path / "out"):
        raise RuntimeError("stop")
    assert tree(tmp_path) == {"another": b"new", "out": None, "out/inner": b"old"}


def test_what_another_is_making_is_left_alone(tmp_path):
    with staged(tmp_path / "out") as slow:
        slow.write_text("slow")
        with staged(tmp_path / "out") as quick:
            quick.write_text("quick")
        assert (tmp_path / "out").read_text() == "quick"
    assert tree(tmp_path) == {"out": b"slow"}


def test_a_file_in_the_place_of_the_parent_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"can't write it: .+") as raised:  # noqa: SIM117
        with staged(tmp_path / "file" / "out"):
            pass
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_parent_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"), staged(tmp_path / "out"):
        pass


def test_a_thread_that_writes_on_after_a_failure_leaves_nothing(tmp_path):
    def write_on(folder):
        for _ in range(20):
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                (folder / "chunk").write_text("late")
            time.sleep(0.01)

    with pytest.raises(RuntimeError, match="full"), staged(tmp_path / "out") as made:
        thread = threading.Thread(target=write_on, args=[made])
        thread.start()
        while not made.exists():
            time.sleep(0.001)
        raise RuntimeError("full")
    thread.join()
    assert list(tmp_path.iterdir()) == []
