"""What is imported when, and the sizes that keep the code readable.

Which part may import which is a contract of import-linter, in pyproject.toml.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cuda_kernels
import engine

HEAVY = {
    "cuda_kernels", "dask", "matplotlib", "numba", "onnx", "onnxruntime", "torch", "triton",
    "xarray", "zarr",
}  # fmt: skip
SOURCES = sorted(
    path
    for package in (engine, cuda_kernels)
    for path in Path(package.__file__).parent.rglob("*.py")
)
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50


def loaded_by(program, *arguments):
    """Top-level packages that a fresh Python has loaded after `program`; it must print nothing."""
    report = "\nimport sys; sys.exit(' '.join({name.split('.')[0] for name in sys.modules}))"
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", program + report, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
    assert len(found.stderr.splitlines()) == 1, found.stderr
    return set(found.stderr.split())


def test_importing_the_engine_loads_nothing_heavy():
    assert loaded_by("import engine, engine.cli") & HEAVY == set()


def test_using_a_codec_loads_no_torch(digits_codec, tmp_path):
    digits_codec.save(tmp_path / "digits.codec")
    program = (
        "import sys, numpy, engine\n"
        "codec = engine.Codec.load(sys.argv[1])\n"
        "digits = numpy.zeros((3, 28, 28), numpy.uint8)\n"
        "engine.compress(digits, sys.argv[2], codec)\n"
        "engine.open(sys.argv[2])[1]\n"
    )
    loaded = loaded_by(program, tmp_path / "digits.codec", tmp_path / "digits.zarr")
    assert "onnxruntime" in loaded
    assert loaded & {"torch", "triton", "dask", "xarray", "matplotlib"} == set()


def test_every_public_name_exists():
    for name in engine.__all__:
        assert getattr(engine, name) is not None
    assert dir(engine) == sorted(engine.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        engine.nothing  # noqa: B018


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: "/".join(path.parts[-3:]))
def test_files_and_functions_stay_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = node.end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"
