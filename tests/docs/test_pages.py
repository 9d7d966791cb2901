"""The pages of `docs/`: what they show runs, and the index lists them all."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import engine

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def decode_source():
    """The code block of the page that decodes without the engine."""
    page = (DOCS / "decoding-without-engine.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    return block


@pytest.fixture(scope="module")
def decode_alone(decode_source, tmp_path_factory):
    """The page's `decode(path, rows)`, run in a fresh process."""
    folder = tmp_path_factory.mktemp("alone")
    call = """
import sys
np.save(sys.argv[3], decode(sys.argv[1], eval(sys.argv[2])))
names = [name for name in sys.modules if name.split(".")[0] in ("engine", "cuda_kernels", "torch")]
if names:
    sys.exit(f"imported {names}")
"""
    (folder / "alone.py").write_text(decode_source + call)

    def run(path, rows):
        command = [sys.executable, "-I", "alone.py", str(path), repr(rows), "out.npy"]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return np.load(folder / "out.npy")

    return run


@pytest.fixture(scope="module")
def store(digits, digits_codec, tmp_path_factory):
    """300 digits in three shards, the last one short, written with a step of its own."""
    path = tmp_path_factory.mktemp("store") / "digits.zarr"
    data = digits[::16][:300]
    engine.compress(
        data, path, digits_codec, step=2.0, chunk_samples=16, shard_samples=112, device="cpu"
    )
    return path


@pytest.mark.parametrize("rows", [slice(100, 120), slice(290, None), [299, 5, 112, 111]])
def test_zarr_and_onnxruntime_decode_a_store(decode_alone, store, rows):
    decoded = decode_alone(store, rows)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, engine.open(store, device="cpu")[rows])


@pytest.mark.parametrize("dtype", ["int16", "int32", "float16", "float32", "float64"])
def test_other_dtypes_are_finished_alike(decode_alone, make_codec, dtype, tmp_path):
    rows, columns = np.indices((60, 12))
    data = ((rows % 7 - 3) * (columns - 5) * 100 + rows).astype(dtype)
    engine.compress(data, tmp_path / "s.zarr", make_codec(data, 2, bits=16), device="cpu")
    decoded = decode_alone(tmp_path / "s.zarr", slice(0, 60))
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, engine.open(tmp_path / "s.zarr", device="cpu")[:])


def test_integers_are_clipped_to_their_dtype(decode_alone, make_codec, tmp_path):
    data = np.repeat(np.array([[0], [255]], np.uint8), 24, axis=1)
    codec = make_codec(data, 1)
    engine.compress(data, tmp_path / "s.zarr", codec, step=2.0, device="cpu")
    reconstruction = codec.reconstruct(engine.open(tmp_path / "s.zarr").latents[:], 2.0)
    assert reconstruction.min() < 0 and reconstruction.max() > 255
    decoded = decode_alone(tmp_path / "s.zarr", slice(0, 2))
    assert decoded.min() == 0 and decoded.max() == 255


def test_decoding_takes_fifteen_lines(decode_source):
    assert len([line for line in decode_source.splitlines() if line]) <= 15


def test_the_index_lists_every_page():
    listed = re.findall(r"^- \[([^]]+)\]\(\1\): .+\.$", (DOCS / "README.md").read_text(), re.M)
    assert sorted(listed) == sorted(p.name for p in DOCS.glob("*.md") if p.name != "README.md")
