"""What can't be compressed: one clear line, and nothing half-written left behind."""

import os
import shlex
import subprocess
import sys

import numpy as np
import pytest

import engine
from engine.errors import InvalidInput, StorageError

from ..laws import assert_same_tree, tree

SIZES = {"chunk_samples": 4, "shard_samples": 8}


@pytest.fixture(scope="module")
def vectors():
    waves = np.random.default_rng(0).normal(size=(100, 2))
    return (waves @ np.random.default_rng(1).normal(size=(2, 6))).astype(np.float32)


@pytest.fixture(scope="module")
def codec(vectors, make_codec):
    return make_codec(vectors, 2)


def refused(data, path, codec, error=InvalidInput, **options):
    """The message of a job that must fail and leave nothing at `path`."""
    with pytest.raises(error) as raised:
        engine.compress(data, path, codec, **(SIZES | options))
    assert "\n" not in str(raised.value)
    assert not path.exists()
    return str(raised.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("threads", [1, 4])
def test_values_that_are_not_finite_are_named_by_the_first_index(
    threads, value, vectors, codec, tmp_path
):
    data = vectors.copy()
    data[41, 3] = data[41, 5] = data[42, 0] = data[99, 1] = data[60, 0] = value
    message = refused(data, tmp_path / "x.zarr", codec, threads=threads)
    assert message.startswith(f"sample 41 holds {value} at index (41, 3); ")


def test_the_first_offender_wins_over_faster_shards(digits, make_codec, tmp_path):
    """The shard of the first one is by far the slowest to get there, yet it is the one named."""
    data = np.tile(digits[:800].astype(np.float32), (8, 1, 1))
    codec = make_codec(data[:800], 4)
    data[4095, 27, 27] = np.nan
    data[4096::512, 0, 0] = np.inf
    for _ in range(3):
        with pytest.raises(InvalidInput, match=r"sample 4095 holds nan at index \(4095, 27, 27\)"):
            engine.compress(data, tmp_path / "x.zarr", codec, shard_samples=512, threads=4)
    assert not (tmp_path / "x.zarr").exists()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda data: data.astype(np.float64), "holds float64 samples of shape (6,), the codec"),
        (lambda data: data[:, :5], "samples of shape (5,), the codec takes float32 of shape (6,)"),
        (lambda data: data[:, None], "samples of shape (1, 6)"),
        (lambda data: data[0], "at least two axes"),
        (lambda data: data[:0], "at least one sample"),
        (lambda data: data[0, 0], "ndarray|float32|scalar|single value"),
        (lambda data: data.astype(complex), "complex"),
        (lambda data: [[1, 2], [3]], "array-like"),
        (lambda data: None, "single value"),
        (lambda data: {"a": data}, "by name"),
        (lambda data: "nowhere.npy", "nowhere.npy: expected a file or a folder"),
    ],
    ids=[
        "dtype", "shape", "rank", "vector", "empty", "scalar",
        "complex", "ragged", "none", "dict", "missing",
    ],
)  # fmt: skip
def test_data_that_does_not_fit(make, problem, vectors, codec, tmp_path):
    message = refused(make(vectors), tmp_path / "x.zarr", codec)
    assert any(part in message for part in problem.split("|"))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"step": 0}, "step must be a positive number"),
        ({"step": -1.0}, "step must be a positive number"),
        ({"step": np.nan}, "step must be a positive number"),
        ({"step": np.inf}, "step must be a positive number"),
        ({"step": 1e39}, "step must be a positive number that float32 holds, got 1e\\+39"),
        ({"step": 1e-46}, "step must be a positive number"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"batch": -5}, "batch must be at least 1, got -5"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"threads": "2"}, "threads must be a whole number, got '2'"),
        ({"batch": 1.5}, "batch must be a whole number, got 1.5"),
        ({"batch": True}, "batch must be a whole number, got True"),
        ({"chunk_samples": 0}, "chunk_samples"),
        ({"chunk_samples": 0, "shard_samples": None}, "chunk_samples"),
        ({"chunk_samples": -4}, "chunk_samples"),
        ({"chunk_samples": "64"}, "chunk_samples must be a whole number, got '64'"),
        ({"shard_samples": 0}, "shard_samples"),
        ({"chunk_samples": None, "shard_samples": 0}, "shard_samples"),
        ({"chunk_samples": 4, "shard_samples": 6}, "multiple of chunk_samples = 4, got 6"),
        ({"device": "tpu"}, "device must be auto, cpu or cuda"),
        ({"key": "a"}, "key"),
    ],
    ids=str,
)
def test_options_that_make_no_sense(options, problem, vectors, codec, tmp_path):
    with pytest.raises(InvalidInput, match=problem):
        engine.compress(vectors, tmp_path / "x.zarr", codec, **(SIZES | options))
    assert not (tmp_path / "x.zarr").exists()


def test_a_codec_that_is_not_there_or_damaged(vectors, codec, tmp_path):
    assert "no such codec" in refused(vectors, tmp_path / "x.zarr", tmp_path / "none.codec")
    codec.save(tmp_path / "cut.codec")
    encoder = tmp_path / "cut.codec/encoder.onnx"
    encoder.write_bytes(encoder.read_bytes()[:100])
    message = refused(vectors, tmp_path / "x.zarr", tmp_path / "cut.codec", engine.CorruptCodec)
    assert "encoder.onnx is damaged" in message


def test_a_target_that_is_something_else(vectors, codec, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/precious.txt").write_text("x")
    codec.save(tmp_path / "a.codec")
    before = tree(tmp_path)
    for name in ("file", "folder", "a.codec", "file/below"):
        for overwrite in (False, True):
            with pytest.raises(InvalidInput, match="choose another path"):
                engine.compress(vectors, tmp_path / name, codec, overwrite=overwrite, **SIZES)
    assert tree(tmp_path) == before


def test_a_zarr_array_is_never_overwritten(vectors, codec, tmp_path):
    import zarr

    zarr.create_array(tmp_path / "data.zarr", data=vectors)
    before = tree(tmp_path)
    with pytest.raises(InvalidInput, match="not a latent store"):
        engine.compress(tmp_path / "data.zarr", tmp_path / "data.zarr", codec, overwrite=True)
    assert tree(tmp_path) == before


def test_a_damaged_head_is_not_gone_on_with(vectors, codec, tmp_path):
    engine.compress(vectors, tmp_path / "x.zarr", codec, **SIZES)
    head = tmp_path / "x.zarr/zarr.json"
    head.write_text(head.read_text().replace('"generation":1', '"generation":7'))
    before = tree(tmp_path)
    with pytest.raises(engine.CorruptStore, match=r"x\.zarr: zarr\.json: the head is damaged"):
        engine.compress(vectors, tmp_path / "x.zarr", codec, **SIZES)
    assert tree(tmp_path) == before
    engine.compress(vectors, tmp_path / "x.zarr", codec, overwrite=True, **SIZES)
    assert engine.verify(tmp_path / "x.zarr", against=vectors).ok


class Moody:
    """An array-like that is well until a given row, and then does something else."""

    def __init__(self, array, row, then):
        self.array, self.row, self.then = array, row, then
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, rows):
        values = self.array[rows]
        return self.then(values) if rows.start <= self.row < rows.stop else values


def fail(values):
    raise RuntimeError("the connection\nbroke")


@pytest.mark.parametrize(
    ("then", "problem"),
    [
        (fail, r"can't be read \(the connection broke\)"),
        (lambda values: values[:-1], r"rows 32:40 came in shape \(7, 6\), expected \(8, 6\)"),
        (lambda values: values[:, :-1], r"came in shape \(8, 5\)"),
        (lambda values: np.full_like(values, np.inf), "sample 32 holds"),
    ],
    ids=["fails", "fewer", "narrower", "infinite"],
)
def test_a_source_that_changes_under_way(then, problem, vectors, codec, tmp_path):
    with pytest.raises(InvalidInput, match=problem):
        engine.compress(Moody(vectors, 37, then), tmp_path / "x.zarr", codec, **SIZES)
    assert not (tmp_path / "x.zarr").exists()


def test_a_file_that_shrinks_leaves_what_was_committed(vectors, codec, tmp_path):
    np.save(tmp_path / "data.npy", np.tile(vectors, (20, 1)))

    def shrink(done, total):
        if done > total / 2:
            os.truncate(tmp_path / "data.npy", 1000)

    with pytest.raises(StorageError, match=r"data\.npy: the file shrank"):
        engine.compress(
            tmp_path / "data.npy", tmp_path / "x.zarr", codec, progress=shrink, threads=1, **SIZES
        )
    np.save(tmp_path / "data.npy", np.tile(vectors, (20, 1)))
    report = engine.compress(tmp_path / "data.npy", tmp_path / "x.zarr", codec, **SIZES)
    assert 0 < report.samples_written < report.samples == 2000


@pytest.fixture(scope="module")
def job(vectors, codec, tmp_path_factory):
    """Files for the command line, and the store that an unhindered job makes."""
    folder = tmp_path_factory.mktemp("job")
    np.save(folder / "data.npy", np.tile(vectors, (40, 1)))
    codec.save(folder / "a.codec")
    options = {"chunk_samples": 8, "shard_samples": 64}
    engine.compress(folder / "data.npy", folder / "whole.zarr", folder / "a.codec", **options)
    return folder


def command(job, store):
    options = ["--codec", job / "a.codec", "--chunk-samples", "8", "--shard-samples", "64"]
    parts = [sys.executable, "-m", "engine", "compress", job / "data.npy", store, *options]
    return shlex.join(map(str, parts))


def run_mounted(script, mount="true"):
    """Run a shell script where it may mount; that takes a user namespace, not root."""
    mounting = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
    try:
        subprocess.run([*mounting, mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting isn't allowed here")
    return subprocess.run([*mounting, script], capture_output=True, text=True, check=True).stdout


def test_a_full_disk_keeps_what_was_committed_and_the_job_goes_on_with_room(job, tmp_path):
    """Room for the codec and some shards: a file system of 300 kB, every object a page."""
    mount, room = f"mount -t tmpfs -o size=300k none {tmp_path}", tmp_path / "x.zarr"
    found = run_mounted(
        f"""
        {mount}
        {command(job, room)} 2>&1 && exit 3
        find {tmp_path} -name '*.partial'
        ls {room}/data/part-0/commits/c | wc -l
        mount -o remount,size=10m {tmp_path}
        {command(job, room)} --json | grep samples_written
        diff -r {room} {job}/whole.zarr && echo same
        """,
        mount,
    )
    error, commits, written, same = found.splitlines()
    assert error.startswith(f"error: {room}: can't write ")
    assert error.endswith(": the disk is full")
    assert 0 < int(commits) < 63
    assert int(written.strip(' ",').split(": ")[1]) == 4000 - 64 * int(commits)
    assert same == "same"


def test_a_disk_that_is_full_at_once_holds_nothing_afterwards(job, tmp_path):
    mount = f"mount -t tmpfs -o size=40k none {tmp_path}"
    found = run_mounted(
        f"{mount}\n{command(job, tmp_path / 'x.zarr')} 2>&1 && exit 3\nls -A {tmp_path}", mount
    )
    assert len(found.splitlines()) == 1
    assert found.endswith(": the disk is full\n")


def test_a_read_only_disk(job, tmp_path):
    mount = f"mount -t tmpfs -o ro none {tmp_path}"
    found = run_mounted(f"{mount}\n{command(job, tmp_path / 'x.zarr')} 2>&1 || echo $?", mount)
    path = tmp_path / "x.zarr"
    assert found == f"error: {path}: can't make the folder: Read-only file system\n1\n"


def test_a_complete_store_on_a_read_only_disk_is_reported(job, tmp_path):
    store = job / "whole.zarr"
    mount = f"mount --bind -o ro {job} {job} && mount -o remount,bind,ro {job}"
    assert "nothing to do" in run_mounted(f"{mount}\n{command(job, store)} 2>&1", mount)


def test_a_store_that_may_not_be_written_to(job, tmp_path):
    store = tmp_path / "x.zarr"
    mount = f"mount --bind -o ro {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path}"
    store.mkdir()
    found = run_mounted(f"{mount}\n{command(job, store)} 2>&1 || echo $?", mount)
    assert found == f"error: {store}: can't write zarr.json: Read-only file system\n1\n"


def test_a_limit_on_file_sizes_is_one_line_too(job, tmp_path):
    """The second head doesn't fit: nothing was committed, so nothing is left."""
    store = tmp_path / "x.zarr"
    script = f"ulimit -f 4; {command(job, store)} 2>&1 || echo $?"
    found = subprocess.check_output(["sh", "-c", script], text=True)
    assert found == f"error: {store}: can't write zarr.json: File too large\n1\n"
    assert not store.exists()
    subprocess.check_output(["sh", "-c", command(job, store)])
    assert_same_tree(store, job / "whole.zarr")
