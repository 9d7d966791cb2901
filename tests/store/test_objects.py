"""Objects in a folder: whole or not at all, and every refusal a clear line."""

import errno
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import CorruptStore, EngineError, InvalidInput, StorageError
from engine.store.objects import LocalObjects


@pytest.fixture
def objects(tmp_path):
    return LocalObjects(tmp_path / "store")


def test_put_makes_folders_and_get_returns_the_bytes(objects):
    objects.put("data/part-0/latents/c/0/0", b"latents")
    assert objects.get("data/part-0/latents/c/0/0") == b"latents"
    assert objects.size_of("data/part-0/latents/c/0/0") == 7
    assert list(objects.keys()) == ["data/part-0/latents/c/0/0"]


def test_put_replaces_and_leaves_nothing_else(objects):
    objects.put("zarr.json", b"first")
    objects.put("zarr.json", b"second")
    assert objects.get("zarr.json") == b"second"
    assert [path.name for path in objects.folder.iterdir()] == ["zarr.json"]


def test_put_syncs_the_file_and_every_folder_that_it_made(tmp_path):
    """Seen by the kernel: after the rename the parent is synced, new folders before the write."""
    script = (
        "import os, sys; from pathlib import Path; from engine.store.objects import LocalObjects\n"
        "synced = []; real = os.fsync\n"
        "os.fsync = lambda fd: (synced.append(os.readlink(f'/proc/self/fd/{fd}')), real(fd))\n"
        "LocalObjects(sys.argv[1]).put('latents/c/3/0', b'x')\n"
        "print('\\n'.join(synced))"
    )
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc")
    folder = tmp_path.resolve() / "store"
    command = [sys.executable, "-c", script, str(folder)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    made = [folder.parent, folder, folder / "latents", folder / "latents/c"]
    assert found[:4] == [str(path) for path in made]
    assert found[4].startswith(str(folder / "latents/c/3/0."))
    assert found[5] == str(folder / "latents/c/3")


def test_folders_that_another_job_may_have_left_unsynced_are_synced_once(objects, monkeypatch):
    (objects.folder / "latents" / "c").mkdir(parents=True)
    synced, real = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_ino), real(fd)))
    for shard in ("0", "1"):
        objects.put(f"latents/c/{shard}", b"x")
    above = [objects.folder.parent, objects.folder, objects.folder / "latents"]
    assert [synced.count(path.stat().st_ino) for path in above] == [1, 1, 1]


def test_a_folder_that_cannot_be_listed_is_not_empty(objects, monkeypatch):
    objects.put("data/zarr.json", b"{}")
    real = os.scandir

    def refuse(path):
        if str(path).endswith("data"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for call in (objects.sweep, objects.size_bytes, lambda: list(objects.keys())):
        with pytest.raises(StorageError, match="can't list it: Input/output error"):
            call()


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", "", "a//b", "a\0b", "\ud800"])
def test_names_that_lead_out_of_the_store_are_refused(objects, key):
    objects.make_folder()
    for call in (objects.get, objects.size_of, objects.remove):
        with pytest.raises(CorruptStore, match="can't be the name of an object"):
            call(key)


def test_a_missing_object_is_named(objects):
    objects.make_folder()
    assert objects.size_of("data/zarr.json") is None
    for read in (objects.get, lambda key: objects.get_range(key, 0, 1)):
        with pytest.raises(CorruptStore, match=r"store: data/zarr\.json is missing"):
            read("data/zarr.json")


def test_an_object_below_an_object_is_missing(objects):
    objects.put("data", b"")
    assert objects.size_of("data/zarr.json") is None
    with pytest.raises(CorruptStore, match="is missing"):
        objects.get("data/zarr.json")


def test_ranges(objects):
    objects.put("shard", b"0123456789")
    assert objects.get_range("shard", 2, 3) == b"234"
    assert objects.get_range("shard", -4, 4) == b"6789"
    assert objects.get_range("shard", 10, 0) == b""


@pytest.mark.parametrize(
    ("start", "length"), [(8, 3), (-11, 11), (0, 11), (2**64 - 1, 2**64 - 1), (2**63, 4)]
)
def test_a_range_that_leaves_the_object_is_truncation(objects, start, length):
    objects.put("shard", b"0123456789")
    with pytest.raises(CorruptStore, match=r"shard is truncated \(expected .* the object has 10\)"):
        objects.get_range("shard", start, length)


def test_interrupted_puts_are_no_objects_and_are_swept(objects):
    objects.put("data/kept", b"x")
    (objects.folder / "data" / "lost.0123abcd.partial").write_bytes(b"half")
    assert list(objects.keys()) == ["data/kept"]
    assert objects.size_bytes() == 1
    objects.sweep()
    assert [path.name for path in (objects.folder / "data").iterdir()] == ["kept"]


def test_remove_takes_objects_and_prefixes_and_what_is_not_there(objects):
    for key in ("a/b/1", "a/c/2", "d"):
        objects.put(key, b"x")
    objects.remove("a/b")
    objects.remove("d")
    objects.remove("nothing")
    assert list(objects.keys()) == ["a/c/2"]


def test_clear_keeps_one_object(objects):
    for key in ("zarr.json", "data/zarr.json", "codecs/x/zarr.json"):
        objects.put(key, b"x")
    (objects.folder / "not an object").write_bytes(b"")
    (objects.folder / "link").symlink_to(objects.folder.parent)
    objects.clear(keep="zarr.json")
    assert [path.name for path in objects.folder.iterdir()] == ["zarr.json"]


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidInput, match="file: is a file; choose another path"):
        LocalObjects(tmp_path / "file").make_folder()
    with pytest.raises(InvalidInput, match="file: is a file; choose another path"):
        LocalObjects(tmp_path / "file" / "store").make_folder()
    with pytest.raises(StorageError, match="can't write"):
        LocalObjects(tmp_path / "file").put("object", b"")


def test_a_full_disk_leaves_no_partial_file(tmp_path):
    """/dev/full has no folders, so the limit on file sizes stands in: EFBIG instead of ENOSPC."""
    script = (
        "import resource, sys; from engine.errors import StorageError\n"
        "from engine.store.objects import LocalObjects\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: LocalObjects(sys.argv[1]).put('shard', bytes(2000))\n"
        "except StorageError as error: print(error)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == f"{tmp_path}: can't write shard: File too large\n"
    assert list(tmp_path.iterdir()) == []


def test_every_refusal_is_an_engine_error_of_one_line(objects):
    objects.put("folder/object", b"x")
    with pytest.raises(EngineError) as raised:
        objects.get("folder")
    assert "\n" not in str(raised.value)


def open_descriptors():
    gc.collect()  # what earlier tests left
    return len(list(Path("/proc/self/fd").iterdir()))


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")


@needs_proc
def test_files_stay_open_but_never_too_many(objects):
    before = open_descriptors()
    for number in range(200):
        objects.put(f"shard/{number}", b"%d" % number)
        assert objects.get_range(f"shard/{number}", 0, 1) == str(number).encode()[:1]
    assert before < open_descriptors() <= before + 65
    for number in range(200):
        assert objects.get_range(f"shard/{number}", -1, 1) == str(number).encode()[-1:]
    objects.close()
    assert open_descriptors() == before


@needs_proc
def test_what_nobody_holds_is_closed(tmp_path):
    before = open_descriptors()
    objects = LocalObjects(tmp_path)
    objects.put("shard", b"x")
    objects.get_range("shard", 0, 1)
    assert open_descriptors() == before + 1
    del objects
    assert open_descriptors() == before


def test_a_file_that_was_replaced_is_read_once_it_is_forgotten(objects):
    objects.put("shard", b"first")
    assert objects.get_range("shard", 0, 5) == b"first"
    objects.put("shard", b"second")
    assert objects.get_range("shard", 0, 5) == b"first"
    objects.forget("shard")
    objects.forget("shard")
    assert objects.get_range("shard", 0, 6) == b"second"
